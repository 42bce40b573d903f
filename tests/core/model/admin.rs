//! Assets, accounts, markets.

use counterfoil_core::Rejection;
use counterfoil_core::command::{Body, Command, CreateAsset, CreateMarket, SetAccountAsset, SetAccountState};
use counterfoil_core::event::EventBody;
use counterfoil_core::types::{AccountState, CancelReason, OrderId};

use super::{Account, Model};

impl Model {
    pub(super) fn check_asset(&self, new: &CreateAsset, no: &mut Vec<Rejection>) {
        if self.assets.iter().any(|asset| asset.asset == new.asset || asset.code == new.code) {
            no.push(Rejection::AssetExists);
        }
    }

    /// A market's fee account must stay able to receive its fees.
    fn collects_fees(&self, set: &SetAccountAsset) -> bool {
        self.markets.iter().any(|(market, _)| market.fee_account == set.account && market.quote == set.asset)
    }

    pub(super) fn check_account_state(&self, set: &SetAccountState, no: &mut Vec<Rejection>) {
        let Some(account) = self.accounts.get(&set.account) else {
            return no.push(Rejection::UnknownAccount);
        };
        if account.state == AccountState::Closed {
            no.push(Rejection::AccountClosed);
        }
        let collects = self.markets.iter().any(|(market, _)| market.fee_account == set.account);
        if set.state != AccountState::Active && collects {
            no.push(Rejection::AccountInUse);
        }
        let mut own = self.balances.iter().filter(|((account, _), _)| *account == set.account);
        if set.state == AccountState::Closed && own.any(|(_, balance)| balance.posted != 0 || balance.reserved != 0) {
            no.push(Rejection::AccountNotEmpty);
        }
    }

    pub(super) fn check_account_asset(&self, set: &SetAccountAsset, no: &mut Vec<Rejection>) {
        if !self.assets.iter().any(|asset| asset.asset == set.asset) {
            no.push(Rejection::UnknownAsset);
        }
        let Some(account) = self.accounts.get(&set.account) else {
            return no.push(Rejection::UnknownAccount);
        };
        if account.state == AccountState::Closed {
            no.push(Rejection::AccountClosed);
        }
        if account.restricted && !set.allowed && self.collects_fees(set) {
            no.push(Rejection::AccountInUse);
        }
        let balance = self.balance(set.account, set.asset);
        if !account.issuer && balance.posted - balance.reserved < -i128::from(set.credit_limit.0) {
            no.push(Rejection::InsufficientAvailable);
        }
    }

    pub(super) fn check_market(&self, new: &CreateMarket, no: &mut Vec<Rejection>) {
        if self.markets.iter().any(|(market, _)| market.market == new.market || market.symbol == new.symbol) {
            no.push(Rejection::MarketExists);
        }
        if new.base == new.quote {
            no.push(Rejection::SameAsset);
        }
        for asset in [new.base, new.quote] {
            match self.assets.iter().find(|known| known.asset == asset) {
                None => no.push(Rejection::UnknownAsset),
                Some(base) if asset == new.base => {
                    let unit = 10_u128.pow(base.scale.into());
                    if !(u128::from(new.tick.0) * u128::from(new.lot.0)).is_multiple_of(unit) {
                        no.push(Rejection::TickLotInexact);
                    }
                }
                Some(_) => {}
            }
        }
        let (maker, taker) = (new.maker_fee.0, new.taker_fee.0);
        if maker > 1_000_000 || taker > 1_000_000 || maker < -taker || taker < 0 {
            no.push(Rejection::FeeOutOfRange);
        }
        self.check_active(new.fee_account, no);
        self.check_allowed(new.fee_account, new.quote, no);
    }

    pub(super) fn carry_out_admin(&mut self, command: &Command) -> Vec<EventBody> {
        match &command.body {
            Body::CreateAsset(new) => {
                self.assets.push(new.clone());
                vec![EventBody::AssetCreated(new.clone())]
            }
            Body::CreateAccount(new) => {
                let (issuer, restricted) = (new.issuer, new.restricted);
                self.accounts.insert(new.account, Account { state: AccountState::Active, issuer, restricted });
                vec![EventBody::AccountCreated(new.clone())]
            }
            Body::SetAccountState(set) => {
                let mut events = Vec::new();
                if set.state == AccountState::Frozen {
                    let own = self.orders.iter().filter(|order| order.new.account == set.account);
                    let mut own: Vec<OrderId> = own.map(|order| order.id).collect();
                    own.sort_unstable();
                    own.into_iter().for_each(|id| self.cancel(id, CancelReason::AccountFrozen, &mut events));
                }
                self.accounts.get_mut(&set.account).expect("checked").state = set.state;
                events.push(EventBody::AccountStateSet(set.clone()));
                events
            }
            Body::SetAccountAsset(set) => {
                let balance = self.balances.entry((set.account, set.asset)).or_default();
                balance.credit = set.credit_limit.0.into();
                balance.allowed = set.allowed;
                vec![EventBody::AccountAssetSet(set.clone())]
            }
            Body::CreateMarket(new) => {
                self.markets.push((new.clone(), new.phase));
                vec![EventBody::MarketCreated(new.clone())]
            }
            Body::SetMarketPhase(set) => {
                let market = self.markets.iter_mut().find(|(market, _)| market.market == set.market);
                market.expect("checked").1 = set.phase;
                vec![EventBody::MarketPhaseSet(set.clone())]
            }
            other => unreachable!("{other:?} is carried out elsewhere"),
        }
    }
}
