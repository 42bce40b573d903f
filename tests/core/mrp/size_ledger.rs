//! The same situation in a ledger, made by commands: what a calculation costs that begins with the ledger's own
//! state, and for how long the ledger can do nothing else.

use std::time::{Duration, Instant};

use counterfoil_core::command::{
    Body, BomLine, Command, CommandKey, CreateAccount, CreateAsset, CreatePlan, DefineBom, DefineItem, DefinePlant,
    DemandLine, FirmPlan, Operation, OrderToFirm, Proposal, ReceiveStock, SetCalendar, SetPlanLines,
};
use counterfoil_core::event::{Effects, EventBody};
use counterfoil_core::production::Question;
use counterfoil_core::production::mrp::{self, Item, Plan, Situation};
use counterfoil_core::types::{
    AccountId, AssetId, AssetKind, Attrition, BomVersion, Code, CommandId, Day, LogIndex, OverIssue, PlanId,
    PlanLineId, PlantId, Price, Quantity, Sequence, Source, Stamp, Term, Timestamp,
};
use counterfoil_core::{History, Ledger, RecordKey, Used};

const PLANT: PlantId = PlantId(1);
const SHELF: AccountId = AccountId(1);
const ISSUER: AccountId = AccountId(2);
const MONEY: AssetId = AssetId(1_000_000);

/// Ids that were never used.
struct Fresh;

impl History for Fresh {
    fn find(&self, _: &CommandKey) -> Option<Used> {
        None
    }
    fn remember(&mut self, _: CommandKey, _: Used) {}
}

#[derive(Default)]
struct Desk {
    ledger: Ledger,
    effects: Effects,
    changes: Vec<RecordKey>,
    commands: u64,
}

impl Desk {
    /// Carries out a command; returns the sequence of its first event.
    fn accept(&mut self, body: Body) -> Sequence {
        self.commands += 1;
        let command = Command { id: CommandId(self.commands.into()), linked: false, body };
        let proposal = Proposal::new(Timestamp(1), vec![command]);
        let stamp = Stamp { term: Term(1), index: LogIndex(self.commands), time: proposal.time };
        self.effects.clear();
        self.ledger.apply(stamp, &proposal, &mut Fresh, &mut self.effects);
        self.changes.clear();
        self.ledger.take_changes(&mut self.changes);
        let record = self.effects.records().next().expect("a command makes a record");
        let first = record.events().next().expect("a record has events");
        assert!(!matches!(first.1, EventBody::Rejected(_)), "{:?}: {:?}", first.1, proposal.commands[0]);
        record.sequence
    }

    fn define(&mut self, items: &[Item], situation: &Situation) {
        let account =
            |account, issuer| Body::CreateAccount(CreateAccount { account, issuer, restricted: false, user_data: 0 });
        for (id, issuer) in [(SHELF, false), (ISSUER, true)] {
            self.accept(account(id, issuer));
        }
        for id in items.iter().map(|item| item.id).chain([MONEY]) {
            let code = Code::new(&format!("A{id}")).expect("a code");
            self.accept(Body::CreateAsset(CreateAsset { asset: id, code, scale: 0, kind: AssetKind::Material }));
        }
        let (production, scrap, adjustment, locations) = (ISSUER, ISSUER, ISSUER, vec![SHELF]);
        let name = Code::new("WORKS").expect("a name");
        self.accept(Body::DefinePlant(DefinePlant { plant: PLANT, name, production, scrap, adjustment, locations }));
        let works = |day: &i32| situation.calendar.is_working(Day(*day));
        // Day 4 is a Monday.
        let is_weekday = |day: i32| (0..20).any(|week| works(&(day + 7 * week)));
        let weekdays = (0..7).filter(|day| is_weekday(4 + day)).map(|day| 1 << day).sum();
        let holidays = (0..400).filter(|day| is_weekday(4 + (day + 3) % 7) && !works(day)).map(Day).collect();
        let seconds_per_day = situation.calendar.seconds_per_day();
        self.accept(Body::SetCalendar(SetCalendar { plant: PLANT, weekdays, holidays, seconds_per_day }));
        for item in items {
            self.accept(define_item(item));
        }
        // What is used is defined before what it is used in.
        for item in items.iter().rev() {
            if let mrp::Source::Make(boms) = &item.source {
                for bom in boms {
                    self.accept(define_bom(item.id, bom));
                }
            }
        }
    }

    fn create_plan(&mut self) -> PlanId {
        let name = Code::new("PLAN").expect("a name");
        PlanId(self.accept(Body::CreatePlan(CreatePlan { plant: PLANT, name })).0)
    }

    fn firm(&mut self, plan: PlanId, orders: Vec<OrderToFirm>, more: bool) {
        self.accept(Body::FirmPlan(FirmPlan {
            plan,
            computed_at: self.ledger.sequence(),
            location: SHELF,
            output: SHELF,
            backflush: false,
            over_issue: OverIssue::Refuse,
            orders,
            more,
        }));
    }

    /// Stock, what is under way, and firmed plans with all demand.
    fn fill(&mut self, situation: &Situation) {
        for held in situation.available.iter().filter(|held| held.quantity.0 > 0) {
            let (asset, quantity) = (held.item, held.quantity);
            let receive = ReceiveStock { location: SHELF, asset, quantity, from: ISSUER, lot: None };
            self.accept(Body::ReceiveStock(receive));
        }
        let under_way = self.create_plan();
        let orders = situation.receipts.iter().filter(|receipt| receipt.quantity.0 > 0).map(|receipt| OrderToFirm {
            item: receipt.item,
            version: None,
            quantity: receipt.quantity,
            release: Day(0),
            due: receipt.due,
            pegs: Vec::new(),
        });
        let orders: Vec<_> = orders.collect();
        for part in orders.chunks(FirmPlan::ORDERS_MAX) {
            self.firm(under_way, part.to_vec(), false);
        }
        for demands in situation.demands.chunks(SetPlanLines::PLAN_LINES_MAX) {
            let plan = self.create_plan();
            for part in demands.chunks(SetPlanLines::LINES_MAX) {
                let line = |demand: &mrp::Demand| DemandLine {
                    line: PlanLineId(demand.id as u32),
                    product: demand.item,
                    quantity: demand.quantity,
                    due: demand.due,
                };
                let set = part.iter().map(line).collect();
                self.accept(Body::SetPlanLines(SetPlanLines { plan, set, remove: Vec::new() }));
            }
            self.firm(plan, Vec::new(), false);
        }
    }
}

fn define_item(item: &Item) -> Body {
    let (source, lead_days) = match item.source {
        mrp::Source::Make(_) => (Source::Make, 0),
        mrp::Source::Buy { lead_days } => (Source::Buy, lead_days),
    };
    Body::DefineItem(DefineItem {
        asset: item.id,
        source,
        lead_days,
        lot_rule: item.lot,
        safety_stock: item.safety_stock,
        reorder_point: Quantity(0),
        standard_cost: Price(1),
        currency: MONEY,
        phantom: item.phantom,
        lot_tracked: false,
    })
}

fn define_bom(product: AssetId, bom: &mrp::Bom) -> Body {
    let line = |line: &mrp::Line| BomLine {
        component: line.component,
        quantity: line.quantity,
        attrition: Attrition(line.attrition),
        setup: line.setup,
        multiple: line.multiple,
        optional: false,
    };
    let operation = |operation: &mrp::Operation| Operation {
        work_centre: Code::new("CELL").expect("a code"),
        setup_seconds: operation.setup_seconds,
        run_seconds: operation.run_seconds,
        lead_days: operation.lead_days,
        hourly_cost: operation.cost_per_hour,
    };
    Body::DefineBom(DefineBom {
        product,
        version: BomVersion(bom.version),
        from: bom.effective_from,
        output: bom.output,
        lines: bom.lines.iter().map(line).collect(),
        by_products: Vec::new(),
        operations: bom.operations.iter().map(operation).collect(),
    })
}

/// Makes a ledger of the situation, calculates from it, and prints what it cost. `expected` is what was planned
/// of the situation itself.
pub fn measure(items: &[Item], situation: &Situation, expected: &Plan, rounds: u32) {
    let mut desk = Desk::default();
    let begin = Instant::now();
    desk.define(items, situation);
    let defined = begin.elapsed();
    let begin = Instant::now();
    desk.fill(situation);
    let filled = begin.elapsed();
    let question = Question::new(PLANT, situation.planning_date);
    let (mut looked, mut calculated, mut pegged) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        let begin = Instant::now();
        let inquiry = desk.ledger.inquire(&question).expect("the plant is there");
        looked = looked.min(begin.elapsed());
        let begin = Instant::now();
        let found = inquiry.calculate().expect("a plan");
        calculated = calculated.min(begin.elapsed());
        let begin = Instant::now();
        let orders = found.orders_to_firm(FirmPlan::ORDER_PEGS).count();
        pegged = pegged.min(begin.elapsed());
        assert!(found.plan.orders().eq(expected.orders()), "the ledger's own state makes the same plan");
        assert_eq!(orders, expected.order_count());
    }
    println!("  through the ledger: {} commands define it in {defined:?} and fill it in {filled:?}", desk.commands);
    println!(
        "  it stands still for {looked:?}; calculation {calculated:?}, with pegs {pegged:?} more (best of {rounds})"
    );
}
