//! Commands and questions of plans in a transcript. README.md beside this file shows the notation.

use counterfoil_core::command::{
    Body, ClosePlan, ClosePurchase, CreatePlan, DemandLine, FirmPlan, LinkPurchase, PurchaseReceipt, ReceivePurchase,
    SetPlanLines,
};
use counterfoil_core::production::Question;
use counterfoil_core::types::{BomVersion, Code, OverIssue, PlanId, PlanLineId, PurchaseId, Quantity};

use crate::names::Names;
use crate::parse::{Parser, Result, number};

impl Parser<'_, '_> {
    /// A command of plans and purchases, if the verb is one.
    pub fn planning(&mut self, verb: &str) -> Option<Result<Body>> {
        Some(match verb {
            "plan" => self.create_plan(),
            "demand" => self.set_lines(),
            "no-demand" => self.remove_lines(),
            "firm" => self.firm(),
            "close-plan" => self.known_plan().map(|plan| Body::ClosePlan(ClosePlan { plan })),
            "purchase" => self.receive_purchase(),
            "link" => self.link_purchase(),
            "close-purchase" => {
                self.known_purchase().map(|(purchase, _)| Body::ClosePurchase(ClosePurchase { purchase }))
            }
            _ => return None,
        })
    }

    fn create_plan(&mut self) -> Result<Body> {
        let (plant, name) = (self.next("a plant")?, self.next("a name")?);
        let name = Code::new(name).ok_or("a bad name")?;
        Ok(Body::CreatePlan(CreatePlan { plant: self.names.plant(plant), name }))
    }

    fn known_plan(&mut self) -> Result<PlanId> {
        let label = self.label()?;
        Ok(self.names.plan(label))
    }

    /// `1: 12 CART due 15 2: 3 BOX due 18`.
    fn lines(&mut self) -> Result<Vec<DemandLine>> {
        let mut lines = Vec::new();
        while let Some(line) = self.peek().and_then(|word| word.strip_suffix(':')) {
            self.next("a line")?;
            let line = PlanLineId(number(line, 0)? as u32);
            let (quantity, product) = self.goods()?;
            if !self.eat("due") {
                return Err("due DAY is missing".to_owned());
            }
            lines.push(DemandLine { line, product: product.id, quantity, due: self.day()? });
        }
        Ok(lines)
    }

    fn set_lines(&mut self) -> Result<Body> {
        Ok(Body::SetPlanLines(SetPlanLines { plan: self.known_plan()?, set: self.lines()?, remove: Vec::new() }))
    }

    fn remove_lines(&mut self) -> Result<Body> {
        let plan = self.known_plan()?;
        let mut remove = Vec::new();
        while self.peek().is_some_and(|word| word != "as") {
            remove.push(PlanLineId(self.small("a line")?));
        }
        Ok(Body::SetPlanLines(SetPlanLines { plan, set: Vec::new(), remove }))
    }

    /// Of what the last question about requirements found.
    fn firm(&mut self) -> Result<Body> {
        let plan = self.known_plan()?;
        let location = self.keyed_account("from")?;
        let output = if self.eat("into") { self.known_account()? } else { location };
        let backflush = self.eat("backflush");
        let over_issue = if self.eat("over-issue") { OverIssue::Warn } else { OverIssue::Refuse };
        let (computed_at, orders) = self.names.calculated.clone().ok_or("nothing was calculated")?;
        Ok(Body::FirmPlan(FirmPlan { plan, computed_at, location, output, backflush, over_issue, orders, more: false }))
    }

    /// A purchase and the decimal places of what it brings.
    pub(super) fn known_purchase(&mut self) -> Result<(PurchaseId, u8)> {
        let label = self.next("a purchase")?;
        let (id, scale) = self.names.ordered(label).ok_or(format!("there is no {label}"))?;
        Ok((PurchaseId(id), scale))
    }

    /// `spring.5 b1`, or `spring.5` alone.
    fn link_purchase(&mut self) -> Result<Body> {
        let (purchase, _) = self.known_purchase()?;
        let order = if self.peek().is_some_and(|word| word != "as") { Some(self.label()?) } else { None };
        Ok(Body::LinkPurchase(LinkPurchase { purchase, order }))
    }

    fn receive_purchase(&mut self) -> Result<Body> {
        let (purchase, scale) = self.known_purchase()?;
        let text = self.next("a quantity")?;
        let quantity = Quantity(number(text, scale)?);
        let receipt = if self.eat("from") {
            let from = self.known_account()?;
            Some(PurchaseReceipt { from, lot: self.lot()? })
        } else {
            None
        };
        Ok(Body::ReceivePurchase(ReceivePurchase { purchase, quantity, receipt }))
    }
}

/// `WEST on 10 [plan p1] [what-if 1: 12 CART due 15 …] [version CART 2 …]`.
pub fn question(line: &str, names: &mut Names) -> Result<Question> {
    let mut parser = Parser::new(line, names);
    let plant = parser.next("a plant")?;
    let plant = parser.names.plant(plant);
    if !parser.eat("on") {
        return Err("on DAY is missing".to_owned());
    }
    let mut question = Question::new(plant, parser.day()?);
    if parser.eat("plan") {
        question.draft = Some(parser.known_plan()?);
    }
    if parser.eat("what-if") {
        question.what_if = parser.lines()?;
    }
    while parser.eat("version") {
        let product = parser.known_asset()?.id;
        question.versions.push((product, BomVersion(parser.small("a version")?)));
    }
    parser.end()?;
    Ok(question)
}
