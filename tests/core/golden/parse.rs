//! One line of a transcript as a command. README.md beside this file shows the notation.

use counterfoil_core::command::{
    Body, BuyPurchase, CancelOrder, Command, CreateAccount, CreateAsset, CreateMarket, MassCancel, NewOrder, OrderRef,
    PostPending, Pricing, ReplaceOrder, SetAccountAsset, SetAccountState, SetMarketPhase, Transfer, TransferMode,
    VoidPending,
};
use counterfoil_core::decimal;
use counterfoil_core::types::{
    AccountId, AccountState, Amount, AssetKind, Code, CommandId, FeeRate, OrderId, Phase, Price, Quantity,
    SelfTradePrevention, Side, TimeInForce, Timestamp,
};

use crate::names::{Asset, Market, Names};

pub type Result<T> = std::result::Result<T, String>;

/// Reads one command. Deadlines count from `start`.
pub fn command(line: &str, names: &mut Names, start: Timestamp) -> Result<Command> {
    let mut parser = Parser { start, ..Parser::new(line, names) };
    let linked = parser.eat("linked");
    let verb = parser.next("a verb")?;
    let body = parser.body(verb)?;
    if parser.eat("as") {
        parser.id = Some(parser.label()?);
    }
    parser.end()?;
    let id = match parser.id {
        Some(id) => id,
        None => parser.names.fresh(),
    };
    Ok(Command { id, linked, body })
}

pub struct Parser<'a, 'n> {
    words: Vec<&'a str>,
    at: usize,
    pub names: &'n mut Names,
    start: Timestamp,
    id: Option<CommandId>,
}

impl<'a, 'n> Parser<'a, 'n> {
    pub fn new(line: &'a str, names: &'n mut Names) -> Self {
        Self { words: line.split_whitespace().collect(), at: 0, names, start: Timestamp(0), id: None }
    }

    /// Refuses what is left over.
    pub fn end(&self) -> Result<()> {
        self.peek().map_or(Ok(()), |word| Err(format!("{word:?} is not understood")))
    }

    pub fn next(&mut self, what: &str) -> Result<&'a str> {
        let word = self.words.get(self.at).copied().ok_or(format!("{what} is missing"))?;
        self.at += 1;
        Ok(word)
    }

    pub fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    pub fn eat(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    pub fn label(&mut self) -> Result<CommandId> {
        let label = self.next("a label")?;
        Ok(self.names.label(label))
    }

    pub fn known_account(&mut self) -> Result<AccountId> {
        let name = self.next("an account")?;
        Ok(self.names.account(name))
    }

    pub fn known_asset(&mut self) -> Result<Asset> {
        let code = self.next("an asset")?;
        Ok(self.names.asset(code))
    }

    fn known_market(&mut self) -> Result<Market> {
        let symbol = self.next("a market")?;
        Ok(self.names.market(symbol))
    }

    pub fn decimal(&mut self, what: &str, scale: u8) -> Result<u64> {
        let text = self.next(what)?;
        number(text, scale)
    }

    fn amount(&mut self, what: &str, scale: u8) -> Result<Amount> {
        let text = self.next(what)?;
        decimal::parse_amount(text, scale).map_err(|error| format!("{text}: {error}"))
    }

    pub fn keyed(&mut self, key: &str, scale: u8, default: u64) -> Result<u64> {
        if self.eat(key) { self.decimal(key, scale) } else { Ok(default) }
    }

    fn seconds(&mut self) -> Result<Timestamp> {
        let text = self.next("a time")?;
        Ok(Timestamp(self.start.0 + seconds(text)?))
    }

    fn body(&mut self, verb: &str) -> Result<Body> {
        match verb {
            "asset" => self.asset(),
            "account" => self.account(),
            "freeze" => self.account_state(AccountState::Frozen),
            "unfreeze" => self.account_state(AccountState::Active),
            "close" => self.account_state(AccountState::Closed),
            "allow" => self.account_asset(true),
            "forbid" => self.account_asset(false),
            "market" => self.market(),
            "phase" => {
                let market = self.known_market()?.id;
                Ok(Body::SetMarketPhase(SetMarketPhase { market, phase: phase(self.next("a phase")?)? }))
            }
            "transfer" => self.transfer(),
            "post" => self.post(),
            "void" => Ok(Body::VoidPending(VoidPending { transfer: self.label()? })),
            "order" => self.order(),
            "replace" => self.replace(),
            "cancel" => {
                let (account, order) = (self.known_account()?, self.order_ref()?);
                Ok(Body::CancelOrder(CancelOrder { account, order }))
            }
            "cancel-all" => self.mass_cancel(),
            other => self.production(other).unwrap_or_else(|| Err(format!("{other:?} is not a command"))),
        }
    }

    fn asset(&mut self) -> Result<Body> {
        let code = self.next("a code")?;
        let scale = self.decimal("a scale", 0)? as u8;
        let kinds =
            [("security", AssetKind::Security), ("material", AssetKind::Material), ("product", AssetKind::Product)];
        let kind = kinds.into_iter().find(|(word, _)| self.eat(word)).map_or(AssetKind::Currency, |(_, kind)| kind);
        let asset = self.names.add_asset(code, scale);
        Ok(Body::CreateAsset(CreateAsset { asset, code: Code::new(code).ok_or("a bad code")?, scale, kind }))
    }

    fn account(&mut self) -> Result<Body> {
        let name = self.next("a name")?;
        let account = self.names.add_account(name);
        let (issuer, restricted) = (self.eat("issuer"), self.eat("restricted"));
        Ok(Body::CreateAccount(CreateAccount { account, issuer, restricted, user_data: 0 }))
    }

    fn account_state(&mut self, state: AccountState) -> Result<Body> {
        Ok(Body::SetAccountState(SetAccountState { account: self.known_account()?, state }))
    }

    fn account_asset(&mut self, allowed: bool) -> Result<Body> {
        let (account, asset) = (self.known_account()?, self.known_asset()?);
        let credit_limit = if self.eat("credit") { self.amount("credit", asset.scale)? } else { Amount(0) };
        Ok(Body::SetAccountAsset(SetAccountAsset { account, asset: asset.id, allowed, credit_limit }))
    }

    fn market(&mut self) -> Result<Body> {
        let symbol = self.next("a symbol")?;
        let Market { id, base, quote } = self.names.add_market(symbol)?;
        let whole = 10_u64.pow(u32::from(base.scale));
        let tick = Price(self.keyed("tick", quote.scale, 1)?);
        let lot = Quantity(self.keyed("lot", base.scale, whole)?);
        let (maker_fee, taker_fee) = (self.fee("maker")?, self.fee("taker")?);
        let fee_account = if self.eat("fees") { self.known_account()? } else { self.names.account("house") };
        let quantity_max = Quantity(self.keyed("max", base.scale, 1_000_000 * whole)?);
        let notional_max = Amount(self.keyed("notional", quote.scale, 100_000_000_000)? as i64);
        let phase = self.peek().map_or(Ok(Phase::Continuous), |_| phase(self.next("a phase")?))?;
        Ok(Body::CreateMarket(CreateMarket {
            market: id,
            symbol: Code::new(symbol).ok_or("a bad symbol")?,
            base: base.id,
            quote: quote.id,
            tick,
            lot,
            maker_fee,
            taker_fee,
            fee_account,
            quantity_max,
            notional_max,
            phase,
        }))
    }

    /// `taker 2.5bp`: basis points, of which a rate counts hundredths.
    fn fee(&mut self, key: &str) -> Result<FeeRate> {
        if !self.eat(key) {
            return Ok(FeeRate(0));
        }
        let text = self.next(key)?.strip_suffix("bp").ok_or("a fee is in bp")?;
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
        Ok(FeeRate(sign * number(text, 2)? as i32))
    }

    fn transfer(&mut self) -> Result<Body> {
        let (debit, credit) = (self.known_account()?, self.known_account()?);
        let amount = self.next("an amount")?;
        let asset = self.known_asset()?;
        let amount = decimal::parse_amount(amount, asset.scale).map_err(|error| format!("{amount}: {error}"))?;
        let mut mode = TransferMode::Immediate;
        if self.eat("pending") {
            let expires_at = if self.eat("until") { Some(self.seconds()?) } else { None };
            mode = TransferMode::Pending { expires_at };
        }
        Ok(Body::Transfer(Transfer { debit, credit, asset: asset.id, amount, mode, user_data: 0, code: 0 }))
    }

    fn post(&mut self) -> Result<Body> {
        let transfer = self.label()?;
        let mut amount = None;
        if self.eat("only") {
            let text = self.next("an amount")?;
            let scale = self.known_asset()?.scale;
            amount = Some(Amount(number(text, scale)? as i64));
        }
        Ok(Body::PostPending(PostPending { transfer, amount }))
    }

    fn order(&mut self) -> Result<Body> {
        let account = self.known_account()?;
        let side = side(self.next("a side")?)?;
        let quantity = self.next("a quantity")?;
        let Market { id: market, base, quote } = self.known_market()?;
        let pricing = match self.next("a price")? {
            "@" => Pricing::Limit(Price(self.decimal("a price", quote.scale)?)),
            "worst" => Pricing::MarketToPrice(Price(self.decimal("a price", quote.scale)?)),
            "budget" => Pricing::MarketForBudget(self.amount("a budget", quote.scale)?),
            other => return Err(format!("{other:?} is not a price")),
        };
        let limit = matches!(pricing, Pricing::Limit(_));
        let usual = if limit { TimeInForce::GoodTillCancel } else { TimeInForce::ImmediateOrCancel };
        let mut order = NewOrder {
            account,
            market,
            side,
            quantity: Quantity(number(quantity, base.scale)?),
            pricing,
            time_in_force: usual,
            expires_at: None,
            post_only: false,
            self_trade_prevention: SelfTradePrevention::CancelNewest,
        };
        let mut purchase = None;
        while let Some(word) = self.peek().filter(|word| *word != "as") {
            self.at += 1;
            match word {
                "gtc" => order.time_in_force = TimeInForce::GoodTillCancel,
                "ioc" => order.time_in_force = TimeInForce::ImmediateOrCancel,
                "fok" => order.time_in_force = TimeInForce::FillOrKill,
                "until" => {
                    order.time_in_force = TimeInForce::GoodTillDate;
                    order.expires_at = Some(self.seconds()?);
                }
                "buys" => purchase = Some(self.known_purchase()?.0),
                "post-only" => order.post_only = true,
                "stp" => order.self_trade_prevention = prevention(self.next("a mode")?)?,
                other => return Err(format!("{other:?} is not a term of an order")),
            }
        }
        Ok(match purchase {
            Some(purchase) => Body::BuyPurchase(BuyPurchase { purchase, order }),
            None => Body::NewOrder(order),
        })
    }

    /// `s1` is a client order id, `#12` an order id.
    fn order_ref(&mut self) -> Result<OrderRef> {
        let Some(text) = self.peek().and_then(|word| word.strip_prefix('#')) else {
            return Ok(OrderRef::ClientOrderId(self.label()?));
        };
        self.at += 1;
        Ok(OrderRef::OrderId(OrderId(number(text, 0)?)))
    }

    fn replace(&mut self) -> Result<Body> {
        let (account, order) = (self.known_account()?, self.order_ref()?);
        if !self.eat("to") {
            return Err("replace ACCOUNT ORDER to QUANTITY MARKET [@ PRICE]".to_owned());
        }
        let quantity = self.next("a quantity")?;
        let market = self.known_market()?;
        let quantity = Quantity(number(quantity, market.base.scale)?);
        let price = if self.eat("@") { Some(Price(self.decimal("a price", market.quote.scale)?)) } else { None };
        Ok(Body::ReplaceOrder(ReplaceOrder { account, order, quantity, price }))
    }

    fn mass_cancel(&mut self) -> Result<Body> {
        let mut mass = MassCancel { account: self.known_account()?, market: None, side: None };
        while let Some(word) = self.peek().filter(|word| *word != "as") {
            self.at += 1;
            match word {
                "buy" | "sell" => mass.side = Some(side(word)?),
                symbol => mass.market = Some(self.names.market(symbol).id),
            }
        }
        Ok(Body::MassCancel(mass))
    }
}

pub fn number(text: &str, scale: u8) -> Result<u64> {
    decimal::parse(text, scale).map_err(|error| format!("{text}: {error}"))
}

fn side(word: &str) -> Result<Side> {
    match word {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        other => Err(format!("{other:?} is not a side")),
    }
}

fn phase(word: &str) -> Result<Phase> {
    match word {
        "continuous" => Ok(Phase::Continuous),
        "halted" => Ok(Phase::Halted),
        "closed" => Ok(Phase::Closed),
        other => Err(format!("{other:?} is not a phase")),
    }
}

fn prevention(word: &str) -> Result<SelfTradePrevention> {
    match word {
        "newest" => Ok(SelfTradePrevention::CancelNewest),
        "oldest" => Ok(SelfTradePrevention::CancelOldest),
        "both" => Ok(SelfTradePrevention::CancelBoth),
        "decrement" => Ok(SelfTradePrevention::Decrement),
        other => Err(format!("{other:?} is not a mode of self-trade prevention")),
    }
}

/// `10s` in nanoseconds.
pub fn seconds(text: &str) -> Result<u64> {
    number(text.strip_suffix('s').ok_or(format!("{text:?} is not a time, such as 10s"))?, 9)
}
