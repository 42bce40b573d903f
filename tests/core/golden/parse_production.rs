//! Commands of production and inventory in a transcript. README.md beside this file shows the notation.

use counterfoil_core::command::{
    AdjustStock, Body, BomLine, ByProduct, CompleteWorkOrder, CountStock, CreateWorkOrder, DefineBom, DefineItem,
    DefinePlant, IssueMaterials, IssueStock, Material, MoveStock, Operation, ReceiveStock, ReleaseWorkOrder,
    ReportOperation, ReturnMaterials, ScrapStock, SetCalendar, SetWorkOrder,
};
use counterfoil_core::types::{
    AccountId, Amount, Attrition, BomVersion, Code, Day, LotRule, OverIssue, Price, Quantity, Source, WorkOrderChange,
    WorkOrderId,
};

use crate::names::Asset;
use crate::parse::{Parser, Result, number};

impl Parser<'_, '_> {
    /// A command of production, if the verb is one.
    pub fn production(&mut self, verb: &str) -> Option<Result<Body>> {
        Some(match verb {
            "plant" => self.plant(),
            "calendar" => self.calendar(),
            "item" => self.item(),
            "bom" => self.bom(),
            "receive" | "issue" | "adjust" | "count" | "scrap" | "move" => self.stock(verb),
            "work-order" => self.work_order(),
            "release" => self.release(),
            "start" => self.set_work_order(WorkOrderChange::Start),
            "hold" => self.set_work_order(WorkOrderChange::Hold),
            "resume" => self.set_work_order(WorkOrderChange::Resume),
            "finish" => self.set_work_order(WorkOrderChange::Close),
            "abandon" => self.set_work_order(WorkOrderChange::Cancel),
            "issue-to" => self.issue_materials(),
            "return-from" => self.return_materials(),
            "report" => self.report(),
            "complete" => self.complete(),
            _ => return self.planning(verb),
        })
    }

    fn code(&mut self, what: &str) -> Result<Code> {
        let text = self.next(what)?;
        Code::new(text).ok_or(format!("{text:?} is no code"))
    }

    pub fn keyed_account(&mut self, key: &str) -> Result<AccountId> {
        if self.eat(key) { self.known_account() } else { Err(format!("{key} ACCOUNT is missing")) }
    }

    pub fn small(&mut self, what: &str) -> Result<u32> {
        let number = self.decimal(what, 0)?;
        u32::try_from(number).map_err(|_| format!("{what} is too large"))
    }

    /// Days count from 1970-01-01.
    pub fn day(&mut self) -> Result<Day> {
        self.small("a day").map(|day| Day(day as i32))
    }

    fn keyed_day(&mut self, key: &str, default: Day) -> Result<Day> {
        if self.eat(key) { self.day() } else { Ok(default) }
    }

    fn keyed_small(&mut self, key: &str, default: u32) -> Result<u32> {
        if self.eat(key) { self.small(key) } else { Ok(default) }
    }

    /// `12.5 GLUE`.
    pub fn goods(&mut self) -> Result<(Quantity, Asset)> {
        let text = self.next("a quantity")?;
        let asset = self.known_asset()?;
        Ok((Quantity(number(text, asset.scale)?), asset))
    }

    pub fn lot(&mut self) -> Result<Option<Code>> {
        if self.eat("lot") { self.code("a lot").map(Some) } else { Ok(None) }
    }

    fn plant(&mut self) -> Result<Body> {
        let name = self.next("a name")?;
        let plant = self.names.add_plant(name);
        let name = Code::new(name).ok_or("a bad name")?;
        let production = self.keyed_account("production")?;
        let scrap = self.keyed_account("scrap")?;
        let adjustment = self.keyed_account("adjustment")?;
        let mut locations = Vec::new();
        if self.eat("at") {
            while self.peek().is_some_and(|word| word != "as") {
                locations.push(self.known_account()?);
            }
        }
        Ok(Body::DefinePlant(DefinePlant { plant, name, production, scrap, adjustment, locations }))
    }

    /// `calendar WEST 1111100 but 15512`: Monday first.
    fn calendar(&mut self) -> Result<Body> {
        let name = self.next("a plant")?;
        let plant = self.names.plant(name);
        let week = self.next("the days of a week")?;
        let weekdays = week.chars().enumerate().filter(|(_, day)| *day == '1').map(|(day, _)| 1 << day).sum();
        let mut holidays = Vec::new();
        if self.eat("but") {
            while self.peek().is_some_and(|word| word != "as") {
                holidays.push(self.day()?);
            }
        }
        Ok(Body::SetCalendar(SetCalendar { plant, weekdays, holidays, seconds_per_day: 8 * 60 * 60 }))
    }

    fn item(&mut self) -> Result<Body> {
        let asset = self.known_asset()?;
        let source = match self.next("make or buy")? {
            "make" => Source::Make,
            "buy" => Source::Buy,
            other => return Err(format!("{other:?} is neither make nor buy")),
        };
        let (mut standard_cost, mut currency) = (Price(0), self.names.asset("USD"));
        if self.eat("cost") {
            let text = self.next("a cost")?;
            currency = self.known_asset()?;
            standard_cost = Price(number(text, currency.scale)?);
        }
        Ok(Body::DefineItem(DefineItem {
            asset: asset.id,
            source,
            lead_days: self.keyed_small("lead", 0)?,
            lot_rule: self.lot_rule(asset)?,
            safety_stock: Quantity(self.keyed("safety", asset.scale, 0)?),
            reorder_point: Quantity(self.keyed("reorder", asset.scale, 0)?),
            standard_cost,
            currency: currency.id,
            phantom: self.eat("phantom"),
            lot_tracked: self.eat("tracked"),
        }))
    }

    /// `lots of 50`, or `lots from 20 by 10`.
    fn lot_rule(&mut self, asset: Asset) -> Result<LotRule> {
        if !self.eat("lots") {
            return Ok(LotRule::LotForLot);
        }
        if self.peek() == Some("of") {
            return Ok(LotRule::Fixed(Quantity(self.keyed("of", asset.scale, 1)?)));
        }
        let minimum = Quantity(self.keyed("from", asset.scale, 0)?);
        Ok(LotRule::Multiple { minimum, multiple: Quantity(self.keyed("by", asset.scale, 1)?) })
    }

    /// `bom CART 1 makes 1 needs 4 WHEEL 1 GLUE loss 5% yields 3 DUST steps SAW PAINT days 1`.
    fn bom(&mut self) -> Result<Body> {
        let product = self.known_asset()?;
        let version = BomVersion(self.small("a version")?);
        let from = self.keyed_day("from", Day(0))?;
        let whole = 10_u64.pow(u32::from(product.scale));
        let output = Quantity(self.keyed("makes", product.scale, whole)?);
        let (mut lines, mut by_products, mut operations) = (Vec::new(), Vec::new(), Vec::new());
        let ends = |word: &str| ["as", "needs", "yields", "steps"].contains(&word);
        if self.eat("needs") {
            while self.peek().is_some_and(|word| !ends(word)) {
                lines.push(self.bom_line()?);
            }
        }
        if self.eat("yields") {
            while self.peek().is_some_and(|word| !ends(word)) {
                let (quantity, asset) = self.goods()?;
                by_products.push(ByProduct { asset: asset.id, quantity });
            }
        }
        if self.eat("steps") {
            while self.peek().is_some_and(|word| !ends(word)) {
                let work_centre = self.code("a work centre")?;
                operations.push(Operation {
                    work_centre,
                    setup_seconds: 0,
                    run_seconds: 0,
                    lead_days: self.keyed_small("days", 0)?,
                    hourly_cost: Amount(0),
                });
            }
        }
        let product = product.id;
        Ok(Body::DefineBom(DefineBom { product, version, from, output, lines, by_products, operations }))
    }

    fn bom_line(&mut self) -> Result<BomLine> {
        let (quantity, component) = self.goods()?;
        let mut attrition = Attrition(0);
        if self.eat("loss") {
            let text = self.next("a loss")?.strip_suffix('%').ok_or("a loss is in %")?;
            // Of a hundred, with four decimal places: millionths.
            attrition = Attrition(number(text, 4)? as u32);
        }
        Ok(BomLine {
            component: component.id,
            quantity,
            attrition,
            setup: Quantity(self.keyed("setup", component.scale, 0)?),
            multiple: Quantity(self.keyed("multiple", component.scale, 0)?),
            optional: self.eat("optional"),
        })
    }

    fn stock(&mut self, verb: &str) -> Result<Body> {
        let location = self.known_account()?;
        let to = if verb == "move" { Some(self.known_account()?) } else { None };
        if verb == "adjust" {
            let text = self.next("a difference")?;
            let asset = self.known_asset()?;
            let amount = number(text.trim_start_matches(['+', '-']), asset.scale)? as i64;
            let difference = Amount(if text.starts_with('-') { -amount } else { amount });
            let (reason, lot) = (self.code("a reason")?, self.lot()?);
            return Ok(Body::AdjustStock(AdjustStock { location, asset: asset.id, difference, lot, reason }));
        }
        let (quantity, asset) = self.goods()?;
        let asset = asset.id;
        Ok(match verb {
            "receive" => {
                let (from, lot) = (self.keyed_account("from")?, self.lot()?);
                Body::ReceiveStock(ReceiveStock { location, asset, quantity, from, lot })
            }
            "issue" => {
                let (to, lot) = (self.keyed_account("to")?, self.lot()?);
                Body::IssueStock(IssueStock { location, asset, quantity, to, lot })
            }
            "count" => {
                let (reason, lot) = (self.code("a reason")?, self.lot()?);
                Body::CountStock(CountStock { location, asset, counted: quantity, lot, reason })
            }
            "scrap" => {
                let (reason, lot) = (self.code("a reason")?, self.lot()?);
                Body::ScrapStock(ScrapStock { location, asset, quantity, lot, reason })
            }
            _ => {
                let to = to.ok_or("move FROM TO QUANTITY ITEM")?;
                Body::MoveStock(MoveStock { from: location, to, asset, quantity, lot: self.lot()? })
            }
        })
    }

    fn work_order(&mut self) -> Result<Body> {
        let plant = self.next("a plant")?;
        let plant = self.names.plant(plant);
        let (quantity, product) = self.goods()?;
        let location = self.keyed_account("from")?;
        let output = if self.eat("into") { self.known_account()? } else { location };
        let version = if self.eat("version") { Some(BomVersion(self.small("a version")?)) } else { None };
        let start = self.keyed_day("start", Day(0))?;
        let due = self.keyed_day("due", start)?;
        let (backflush, optional) = (self.eat("backflush"), self.eat("optional"));
        let over_issue = if self.eat("over-issue") { OverIssue::Warn } else { OverIssue::Refuse };
        Ok(Body::CreateWorkOrder(CreateWorkOrder {
            plant,
            product: product.id,
            quantity,
            version,
            location,
            output,
            start,
            due,
            backflush,
            optional,
            over_issue,
        }))
    }

    fn known_work_order(&mut self) -> Result<WorkOrderId> {
        if let Some((id, _)) = self.peek().and_then(|label| self.names.ordered(label)) {
            self.next("a work order")?;
            return Ok(WorkOrderId(id));
        }
        let label = self.label()?;
        Ok(self.names.work_order(label))
    }

    fn release(&mut self) -> Result<Body> {
        let work_order = self.known_work_order()?;
        Ok(Body::ReleaseWorkOrder(ReleaseWorkOrder { work_order, partial: self.eat("partial") }))
    }

    fn set_work_order(&mut self, change: WorkOrderChange) -> Result<Body> {
        Ok(Body::SetWorkOrder(SetWorkOrder { work_order: self.known_work_order()?, change }))
    }

    fn material(&mut self) -> Result<Material> {
        let (quantity, component) = self.goods()?;
        Ok(Material { component: component.id, quantity, lot: self.lot()? })
    }

    fn issue_materials(&mut self) -> Result<Body> {
        let work_order = self.known_work_order()?;
        let mut materials = Vec::new();
        while self.peek().is_some_and(|word| word != "as") {
            materials.push(self.material()?);
        }
        Ok(Body::IssueMaterials(IssueMaterials { work_order, materials }))
    }

    fn return_materials(&mut self) -> Result<Body> {
        let (work_order, material) = (self.known_work_order()?, self.material()?);
        Ok(Body::ReturnMaterials(ReturnMaterials { work_order, material }))
    }

    fn report(&mut self) -> Result<Body> {
        let work_order = self.known_work_order()?;
        let operation = self.small("an operation")?;
        let good = Quantity(self.keyed("good", 0, 0)?);
        let scrap = Quantity(self.keyed("scrap", 0, 0)?);
        Ok(Body::ReportOperation(ReportOperation { work_order, operation, good, scrap }))
    }

    fn complete(&mut self) -> Result<Body> {
        let work_order = self.known_work_order()?;
        let good = Quantity(self.keyed("good", 0, 0)?);
        let scrap = Quantity(self.keyed("scrap", 0, 0)?);
        let loss = Quantity(self.keyed("loss", 0, 0)?);
        let lot = self.lot()?;
        Ok(Body::CompleteWorkOrder(CompleteWorkOrder { work_order, good, scrap, loss, lot }))
    }
}
