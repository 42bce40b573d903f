//! Lot numbers, as a storekeeper would follow them with a pencil.

use counterfoil_core::Rejection;
use counterfoil_core::event::{EventBody, LotMove, LotsMoved};
use counterfoil_core::types::{AccountId, AssetId, Code, Quantity};

use super::Model;
use super::work_orders::OpenOrder;

/// The units of one lot that one account has.
#[derive(Debug, Clone)]
pub struct Lot {
    pub account: AccountId,
    pub asset: AssetId,
    pub number: Code,
    /// The event that brought the lot into the books.
    pub since: u64,
    pub quantity: i128,
}

/// What an order has of one lot, with the event that brought that into the books, and the last that issued it.
#[derive(Debug, Clone, Copy)]
pub struct IssuedLot {
    pub component: AssetId,
    pub number: Code,
    pub since: u64,
    pub issued: u64,
    pub quantity: i128,
}

/// A change of what an account has, in an event that is not told yet.
#[derive(Debug, Clone, Copy)]
pub struct Movement {
    pub account: AccountId,
    pub asset: AssetId,
    pub amount: i128,
    pub before: i128,
}

/// Units that one account gave and no other has yet.
struct Piece {
    asset: AssetId,
    from: AccountId,
    lot: Option<(Code, u64)>,
    quantity: i128,
}

impl OpenOrder {
    /// No more of a lot comes back than was issued of it.
    pub(super) fn check_lot_back(
        &self,
        component: AssetId,
        number: Option<Code>,
        quantity: i128,
        no: &mut Vec<Rejection>,
    ) {
        let Some(number) = number else { return };
        let own = self.lots.iter().find(|lot| (lot.component, lot.number) == (component, number));
        no.extend(match own {
            None => Some(Rejection::LotNotIssued),
            Some(lot) if quantity > lot.quantity => Some(Rejection::ReturnAboveIssued),
            Some(_) => None,
        });
    }

    /// Takes what comes back off the order's lots.
    pub(super) fn give_lots_back(
        &mut self,
        component: AssetId,
        number: Option<Code>,
        quantity: u64,
    ) -> Vec<(AssetId, Code, u64, i128)> {
        let back = self.lots_back(component, number, quantity);
        for (number, _, part) in &back {
            let mut lots = self.lots.iter_mut();
            let own = lots.find(|lot| (lot.component, lot.number) == (component, *number)).expect("checked");
            own.quantity -= part;
        }
        self.lots.retain(|lot| lot.quantity > 0);
        back.into_iter().map(|(number, since, part)| (component, number, since, part)).collect()
    }

    /// The lots that so much of a component comes back of: the one named, or those issued last.
    fn lots_back(&self, component: AssetId, number: Option<Code>, quantity: u64) -> Vec<(Code, u64, i128)> {
        let mut own: Vec<&IssuedLot> = self.lots.iter().filter(|lot| lot.component == component).collect();
        own.retain(|lot| number.is_none_or(|number| number == lot.number));
        own.sort_by_key(|lot| (lot.issued, lot.since, lot.number));
        let (mut left, mut parts) = (i128::from(quantity), Vec::new());
        for lot in own.iter().rev().take_while(|_| quantity > 0) {
            let part = left.min(lot.quantity);
            left -= part;
            parts.extend((part > 0).then_some((lot.number, lot.since, part)));
        }
        parts
    }
}

impl Model {
    /// Writes down which lots an event has taken into production.
    pub(super) fn remember_issued(&mut self, body: &EventBody, sequence: u64, moves: &[(LotMove, u64)]) {
        let (order, materials) = match body {
            EventBody::MaterialsIssued(issued) => (issued.order, &issued.materials),
            EventBody::OperationReported(reported) => (reported.order, &reported.materials),
            EventBody::WorkOrderCompleted(completed) => (completed.order, &completed.materials),
            _ => return,
        };
        let works = self.works_of(order.plant);
        let lots = &mut self.open_mut(order.id).lots;
        let issued = moves.iter().filter(|(lot, _)| (lot.from, lot.to) == (order.location, works));
        for (LotMove { asset, lot: number, quantity, .. }, since) in issued {
            assert!(materials.iter().any(|moved| moved.component == *asset));
            let quantity = i128::from(quantity.0);
            match lots.iter_mut().find(|lot| (lot.component, lot.number) == (*asset, *number)) {
                Some(lot) => (lot.quantity, lot.issued) = (lot.quantity + quantity, sequence),
                None => {
                    let (component, number, since, issued) = (*asset, *number, *since, sequence);
                    lots.push(IssuedLot { component, number, since, issued, quantity });
                }
            }
        }
    }

    pub(super) fn is_tracked(&self, asset: AssetId) -> bool {
        self.item(asset).is_some_and(|item| item.lot_tracked)
    }

    pub(super) fn lot_quantity(&self, account: AccountId, asset: AssetId, number: Code) -> i128 {
        let own = self.lots.iter().filter(|lot| (lot.account, lot.asset, lot.number) == (account, asset, number));
        own.map(|lot| lot.quantity).sum()
    }

    /// A lot number is for what is tracked.
    pub(super) fn check_tracked(&self, asset: AssetId, number: Option<Code>, no: &mut Vec<Rejection>) {
        if number.is_some() && !self.is_tracked(asset) {
            no.push(Rejection::NotLotTracked);
        }
    }

    /// An account gives no more of a named lot than it has; an issuer names new ones.
    pub(super) fn check_lot(
        &self,
        account: AccountId,
        asset: AssetId,
        number: Option<Code>,
        quantity: i128,
        no: &mut Vec<Rejection>,
    ) {
        self.check_tracked(asset, number, no);
        let is_issuer = self.accounts.get(&account).is_some_and(|account| account.issuer);
        if let Some(number) = number.filter(|_| !is_issuer) {
            no.extend((self.lot_quantity(account, asset, number) < quantity).then_some(Rejection::LotTooSmall));
        }
    }

    /// The event that is told next gives, or brings in, this lot of the asset.
    pub(super) fn name_lot(&mut self, asset: AssetId, number: Option<Code>) {
        self.named.extend(number.map(|number| (asset, number)));
    }

    /// Adds an event, and behind it which lots it moved.
    pub(super) fn tell(&mut self, events: &mut Vec<EventBody>, body: EventBody) {
        events.push(body);
        let sequence = self.sequence + events.len() as u64;
        let mut movements = std::mem::take(&mut self.movements);
        movements.retain(|movement| self.is_tracked(movement.asset));
        let mut on_the_way = Vec::new();
        for movement in movements.iter().filter(|movement| movement.amount < 0) {
            self.give(movement, &mut on_the_way);
        }
        let mut moves = Vec::new();
        for movement in movements.iter().filter(|movement| movement.amount > 0) {
            self.receive(movement, sequence, &mut on_the_way, &mut moves);
        }
        self.named.clear();
        self.coming_back.clear();
        let body = events.last().expect("it was just added").clone();
        self.remember_issued(&body, sequence, &moves);
        let moves: Vec<LotMove> = moves.into_iter().map(|(lot, _)| lot).collect();
        if !moves.is_empty() {
            events.push(EventBody::LotsMoved(LotsMoved { moves }));
        }
    }

    /// The named lot goes first, then the oldest; what no lot is left for is new.
    fn give(&mut self, movement: &Movement, on_the_way: &mut Vec<Piece>) {
        let Movement { account, asset, amount, .. } = *movement;
        let named = self.named.iter().find(|(of, _)| *of == asset).map(|(_, number)| *number);
        let mut left = -amount;
        for (of, number, since, quantity) in self.coming_back.iter().filter(|_| self.accounts[&account].issuer) {
            if *of == asset {
                left -= quantity;
                on_the_way.push(Piece { asset, from: account, lot: Some((*number, *since)), quantity: *quantity });
            }
        }
        while left > 0 {
            let own = self.lots.iter_mut().filter(|lot| (lot.account, lot.asset) == (account, asset));
            let next = own.min_by_key(|lot| (Some(lot.number) != named, lot.since, lot.number));
            let (lot, quantity) = match next {
                None => (None, left),
                Some(lot) => {
                    let quantity = left.min(lot.quantity);
                    lot.quantity -= quantity;
                    (Some((lot.number, lot.since)), quantity)
                }
            };
            self.lots.retain(|lot| lot.quantity > 0);
            on_the_way.push(Piece { asset, from: account, lot, quantity });
            left -= quantity;
        }
    }

    /// What comes is what was given first. What the account lacked it does not keep; an issuer keeps
    /// nothing.
    fn receive(
        &mut self,
        movement: &Movement,
        sequence: u64,
        on_the_way: &mut Vec<Piece>,
        moves: &mut Vec<(LotMove, u64)>,
    ) {
        let Movement { account, asset, amount, before } = *movement;
        let named = self.named.iter().find(|(of, _)| *of == asset).map(|(_, number)| *number);
        let new = named.unwrap_or_else(|| Code::new(&format!("L{sequence}")).expect("a code"));
        let is_issuer = self.accounts[&account].issuer;
        let (mut lacking, mut left) = ((-before).max(0), amount);
        while left > 0 {
            let place = on_the_way.iter().position(|piece| piece.asset == asset).expect("what comes was given");
            let piece = &mut on_the_way[place];
            let quantity = left.min(piece.quantity);
            piece.quantity -= quantity;
            let (number, since) = piece.lot.unwrap_or((new, sequence));
            let from = piece.from;
            if piece.quantity == 0 {
                on_the_way.remove(place);
            }
            left -= quantity;
            let kept = (quantity - lacking).max(0);
            lacking -= quantity - kept;
            if kept > 0 && !is_issuer {
                let known = |lot: &&mut Lot| (lot.account, lot.asset, lot.number) == (account, asset, number);
                match self.lots.iter_mut().find(known) {
                    Some(lot) => lot.quantity += kept,
                    None => self.lots.push(Lot { account, asset, number, since, quantity: kept }),
                }
            }
            let quantity = Quantity(quantity as u64);
            moves.push((LotMove { asset, lot: number, from, to: account, quantity, counted_to: None }, since));
        }
    }
}
