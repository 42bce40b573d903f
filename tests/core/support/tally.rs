//! What happened in all sequences of a test: a test of quiet sequences proves nothing.

use std::collections::BTreeMap;

use counterfoil_core::event::{EventBody, Outcome, Record};
use counterfoil_core::types::{CancelReason, StockMoveKind, WorkOrderChange};

/// How often each thing was seen.
#[derive(Debug, Clone, Default)]
pub struct Tally(pub BTreeMap<String, u64>);

impl Tally {
    /// Counts a record.
    pub fn record(&mut self, record: &Record) {
        let trades = record.events.iter().any(|event| matches!(event.body, EventBody::Trade(_)));
        for event in &record.events {
            match &event.body {
                EventBody::PurchaseReceived(_) if trades => self.see("PurchaseReceived by a trade"),
                EventBody::Rejected(reason) => self.see(&format!("Rejected {reason}")),
                EventBody::OrderCancelled(event) => self.see(&format!("OrderCancelled {:?}", event.reason)),
                EventBody::OrderReplaced(event) if event.priority_kept => self.see("OrderReplaced kept"),
                EventBody::OrderReplaced(_) => self.see("OrderReplaced anew"),
                EventBody::MassCancelled(event) if event.count == 0 => self.see("MassCancelled none"),
                EventBody::MassCancelled(_) => self.see("MassCancelled"),
                EventBody::OrderAccepted(_) => self.see("OrderAccepted"),
                EventBody::OrderReduced(_) => self.see("OrderReduced"),
                EventBody::Trade(_) => self.see("Trade"),
                EventBody::Transferred(_) => self.see("Transferred"),
                EventBody::PendingPosted(_) => self.see("PendingPosted"),
                EventBody::PendingVoided(_) => self.see("PendingVoided"),
                EventBody::PendingExpired(_) => self.see("PendingExpired"),
                EventBody::AccountStateSet(_) => self.see("AccountStateSet"),
                EventBody::AccountAssetSet(_) => self.see("AccountAssetSet"),
                EventBody::MarketPhaseSet(_) => self.see("MarketPhaseSet"),
                EventBody::AssetCreated(_) | EventBody::AccountCreated(_) | EventBody::MarketCreated(_) => {
                    self.see("Created");
                }
                EventBody::PlantDefined(_)
                | EventBody::CalendarSet(_)
                | EventBody::ItemDefined(_)
                | EventBody::BomDefined(_) => self.see("Defined"),
                EventBody::StockMoved(event) => self.see(&format!("StockMoved {:?}", event.kind)),
                EventBody::LotsMoved(_) => self.see("LotsMoved"),
                EventBody::WorkOrderCreated(_) => self.see("WorkOrderCreated"),
                EventBody::WorkOrderReleased(event) if event.lines.iter().any(|line| line.short() > 0) => {
                    self.see("WorkOrderReleased short");
                }
                EventBody::WorkOrderReleased(_) => self.see("WorkOrderReleased"),
                EventBody::WorkOrderChanged(event) => self.see(&format!("WorkOrderChanged {:?}", event.change)),
                EventBody::MaterialsIssued(event) if event.materials.iter().any(|moved| moved.over.0 > 0) => {
                    self.see("MaterialsIssued over");
                }
                EventBody::MaterialsIssued(_) => self.see("MaterialsIssued"),
                EventBody::MaterialsReturned(_) => self.see("MaterialsReturned"),
                EventBody::OperationReported(_) => self.see("OperationReported"),
                EventBody::WorkOrderCompleted(event) => {
                    let yields = if event.by_products.is_empty() { "" } else { " with a by-product" };
                    let consumes = if event.materials.is_empty() { "" } else { ", backflushed" };
                    self.see(&format!("WorkOrderCompleted{yields}{consumes}"));
                    self.see(&format!("WorkOrderCompleted {:?}", event.order.state));
                }
                EventBody::PlanCreated(_) => self.see("PlanCreated"),
                EventBody::PlanLinesSet(event) if event.remove.is_empty() => self.see("PlanLinesSet"),
                EventBody::PlanLinesSet(_) => self.see("PlanLinesSet removed"),
                EventBody::PlanFirmed(event) if event.plan.firming.is_some() => self.see("PlanFirmed in part"),
                EventBody::PlanFirmed(_) => self.see("PlanFirmed"),
                EventBody::PlanClosed(_) => self.see("PlanClosed"),
                EventBody::PurchasePlanned(_) => self.see("PurchasePlanned"),
                EventBody::PurchaseReceived(event) if event.purchase.outstanding() > 0 => {
                    self.see("PurchaseReceived in part");
                }
                EventBody::PurchaseReceived(_) => self.see("PurchaseReceived"),
                EventBody::PurchaseClosed(_) => self.see("PurchaseClosed"),
                EventBody::PurchaseLinked(_) => self.see("PurchaseLinked"),
            }
        }
    }

    /// Counts an outcome.
    pub fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Applied { .. } => {}
            Outcome::Duplicate { .. } => self.see("Duplicate"),
            Outcome::IdReused { .. } => self.see("IdReused"),
        }
    }

    fn see(&mut self, name: &str) {
        match self.0.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(name.to_owned(), 1)),
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// How often `name` was seen.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Demands that each of `names` was seen at least `least` times.
    pub fn demand<'a>(&self, least: u64, names: impl IntoIterator<Item = &'a str>) {
        let rare: Vec<_> = names.into_iter().filter(|name| self.count(name) < least).collect();
        assert!(rare.is_empty(), "too rare to prove anything: {rare:?}, of {:#?}", self.0);
    }
}

/// The events that make a sequence worth running, as the tally names them.
pub fn interesting() -> Vec<String> {
    let mut names: Vec<String> = [
        "OrderAccepted",
        "Trade",
        "OrderReplaced kept",
        "OrderReplaced anew",
        "OrderReduced",
        "MassCancelled",
        "Transferred",
        "PendingPosted",
        "PendingVoided",
        "PendingExpired",
        "AccountStateSet",
        "AccountAssetSet",
        "MarketPhaseSet",
        "Duplicate",
        "IdReused",
    ]
    .map(str::to_owned)
    .to_vec();
    // Nobody meets that many orders in a short sequence.
    let reasons = CancelReason::ALL.iter().filter(|reason| **reason != CancelReason::MatchLimit);
    names.extend(reasons.map(|reason| format!("OrderCancelled {reason:?}")));
    names
}

/// The events of production that make a sequence worth running.
pub fn interesting_in_production() -> Vec<String> {
    let mut names: Vec<String> = [
        "Defined",
        "LotsMoved",
        "WorkOrderCreated",
        "WorkOrderReleased",
        "WorkOrderReleased short",
        "MaterialsIssued",
        "MaterialsIssued over",
        "MaterialsReturned",
        "OperationReported",
        "WorkOrderCompleted",
        "WorkOrderCompleted, backflushed",
        "WorkOrderCompleted with a by-product, backflushed",
        "WorkOrderCompleted InProgress",
        "WorkOrderCompleted Completed",
        "PlanCreated",
        "PlanLinesSet",
        "PlanLinesSet removed",
        "PlanFirmed in part",
        "PlanFirmed",
        "PlanClosed",
        "PurchasePlanned",
        "PurchaseReceived in part",
        "PurchaseReceived",
        "PurchaseClosed",
        "PurchaseLinked",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(StockMoveKind::ALL.iter().map(|kind| format!("StockMoved {kind:?}")));
    names.extend(WorkOrderChange::ALL.iter().map(|change| format!("WorkOrderChanged {change:?}")));
    names
}
