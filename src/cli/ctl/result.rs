//! Sending a command, and printing what became of it.

use tonic::Code;

use super::{Context, Key, print, words};
use crate::cli::CliError;
use crate::cli::names::Market;
use crate::cli::table::{Column, amount, list, table, time};
use crate::client::{ClientError, api, id_to_bytes, id_to_hex, random_id};

/// The item that a command of production is about, for who reads why it was refused.
fn item_of(body: &api::command::Body) -> Option<u32> {
    use api::command::Body;
    Some(match body {
        Body::DefineItem(it) => it.asset_id,
        Body::DefineBom(it) => it.product_id,
        Body::ReceiveStock(it) => it.asset_id,
        Body::IssueStock(it) => it.asset_id,
        Body::AdjustStock(it) => it.asset_id,
        Body::CountStock(it) => it.asset_id,
        Body::ScrapStock(it) => it.asset_id,
        Body::MoveStock(it) => it.asset_id,
        Body::CreateWorkOrder(it) => it.product_id,
        Body::ReturnMaterials(it) => it.material.as_ref()?.component_id,
        Body::IssueMaterials(it) => match it.materials.as_slice() {
            [one] => one.component_id,
            _ => return None,
        },
        Body::SetPlanLines(it) => match it.set.as_slice() {
            [one] => one.product_id,
            _ => return None,
        },
        _ => return None,
    })
}

impl Context {
    /// Carries out a command and prints its result; a rejection is a failure, with its own exit code.
    pub async fn execute(&mut self, key: Key, body: api::command::Body) -> Result<(), CliError> {
        self.carry_out(key, body).await.map(drop)
    }

    /// As [`Self::execute`], for who wants to know the result.
    pub async fn carry_out(&mut self, key: Key, body: api::command::Body) -> Result<api::CommandResult, CliError> {
        let id = key.id.unwrap_or_else(random_id);
        let item = item_of(&body);
        let command = api::Command { id: id_to_bytes(id), linked: false, body: Some(body) };
        let result = self.client.execute(command).await?;
        let printed = self.print_outcome(&result).await;
        match (printed, item) {
            (Err(CliError::Rejected(reason)), Some(item)) => {
                let item = self.names.asset_by_id(item).await.map_or_else(|_| item.to_string(), |asset| asset.code);
                Err(CliError::Rejected(format!("{reason} ({item})")))
            }
            (printed, _) => printed.map(|()| result),
        }
    }

    /// Prints the result of a command that was sent; a rejection is a failure, with its own exit code.
    pub async fn print_outcome(&mut self, result: &api::CommandResult) -> Result<(), CliError> {
        self.print_result(result).await?;
        match result.rejection {
            0 => Ok(()),
            reason => Err(CliError::Rejected(words::rejection(reason))),
        }
    }

    /// The answer that a command of production with this id got before, whatever it was; none where the caller
    /// chose no id. Whoever prints it as the answer to a command has to know that it was that one.
    pub async fn answered_before(&self, key: Key) -> Result<Option<api::CommandResult>, CliError> {
        let Some(id) = key.id else { return Ok(None) };
        let request = api::GetCommandResultRequest {
            scope: api::CommandScope::Production.into(),
            account_id: 0,
            id: id_to_bytes(id),
            consistency: None,
        };
        match self.client.get_command_result(request).await {
            Ok(answer) => Ok(answer.result),
            Err(ClientError::Refused(refusal)) if refusal.code == Code::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The events of the record that begins with this one, or that has it; it must have happened.
    pub async fn events_from(&self, sequence: u64) -> Result<Vec<api::Event>, CliError> {
        let mut watch = self.client.watch(sequence, None);
        let mut events = Vec::new();
        loop {
            for record in watch.next().await?.records {
                events.extend(record.events);
                if !record.continues {
                    return Ok(events);
                }
            }
        }
    }

    /// Prints a result, in the output that was asked for.
    pub async fn print_result(&mut self, result: &api::CommandResult) -> Result<(), CliError> {
        if self.printed_json(result)? {
            return Ok(());
        }
        let mut rows = vec![("command", id_to_hex(&result.id))];
        let outcome = match result.rejection {
            0 => "done".to_owned(),
            reason => format!("refused: {}", words::rejection(reason)),
        };
        rows.push(("result", if result.duplicate { format!("{outcome} (answered before)") } else { outcome }));
        if let Some(api::Position { term, index, sequence }) = result.position {
            rows.push(("sequence", sequence.to_string()));
            rows.push(("log", format!("term {term}, index {index}")));
        }
        if result.position.is_some() {
            rows.push(("time", time(result.time)));
        }
        if result.conflicting_sequence != 0 {
            rows.push(("conflict", format!("the command at sequence {} has the id", result.conflicting_sequence)));
        }
        if result.cancelled_count > 0 {
            rows.push(("cancelled", format!("{} order(s)", result.cancelled_count)));
        }
        if let Some(order) = result.order.filter(|order| order.order_id != 0) {
            let (whole, market) = self.order_of(order.order_id).await?;
            rows.push(("order", order.order_id.to_string()));
            rows.push(("status", words::status(order.status)));
            // The answer says what this command filled. Of an order that it changed, there may be more.
            if result.position.is_some_and(|position| position.sequence == order.order_id) {
                rows.push(("filled", market.quantity(order.filled)));
            } else {
                rows.push(("filled", market.quantity(whole.filled.max(order.filled))));
                rows.extend((order.filled > 0).then(|| ("filled now", market.quantity(order.filled))));
            }
            if order.filled > 0 {
                rows.push(("for", format!("{} {}", market.money(order.filled_notional), market.quote.code)));
                rows.push(("fees", market.money(order.fees)));
            }
            rows.push(("open", market.quantity(order.open)));
        }
        if let Some(order) = &result.work_order {
            let product = self.names.asset_by_id(order.product_id).await?;
            let quantity = |number: u64| amount(number, product.scale);
            rows.push(("work order", order.work_order_id.to_string()));
            rows.push(("product", format!("{} {}", quantity(order.quantity), product.code)));
            rows.push(("state", words::work_order_state(order)));
            rows.push(("completed", quantity(order.completed)));
        }
        print(&list(rows))?;
        if result.balances.is_empty() { Ok(()) } else { self.print_left(&result.balances).await }
    }

    /// The balances that a command left.
    async fn print_left(&mut self, balances: &[api::BalanceLeft]) -> Result<(), CliError> {
        let mut rows = Vec::new();
        for balance in balances {
            let asset = self.names.asset_by_id(balance.asset_id).await?;
            let number = |number: i64| amount(number, asset.scale);
            rows.push(vec![
                balance.account_id.to_string(),
                asset.code.clone(),
                number(balance.posted),
                number(balance.reserved),
                number(balance.available),
            ]);
        }
        let columns = [
            Column::Number("account"),
            Column::Text("asset"),
            Column::Number("posted"),
            Column::Number("reserved"),
            Column::Number("available"),
        ];
        print(&table(&columns, rows))
    }

    /// An order as it is now, and its market.
    async fn order_of(&mut self, order_id: u64) -> Result<(api::Order, Market), CliError> {
        let reference = api::order_reference::Reference::OrderId(order_id);
        let order = Some(api::OrderReference { reference: Some(reference) });
        let request = api::GetOrderRequest { account_id: 0, order, consistency: None };
        let order = self.client.get_order(request).await?.order.unwrap_or_default();
        let market = self.names.market_by_id(order.market_id).await?;
        Ok((order, market))
    }

    /// Prints balances as a table.
    pub async fn print_balances(&mut self, balances: &[api::Balance]) -> Result<(), CliError> {
        let mut rows = Vec::new();
        for balance in balances {
            let asset = self.names.asset_by_id(balance.asset_id).await?;
            let number = |number: i64| amount(number, asset.scale);
            rows.push(vec![
                balance.account_id.to_string(),
                asset.code.clone(),
                number(balance.posted),
                number(balance.reserved),
                number(balance.available),
                if balance.credit_limit == 0 { String::new() } else { number(balance.credit_limit) },
                words::yes(balance.allowed),
            ]);
        }
        let columns = [
            Column::Number("account"),
            Column::Text("asset"),
            Column::Number("posted"),
            Column::Number("reserved"),
            Column::Number("available"),
            Column::Number("credit"),
            Column::Text("allowed"),
        ];
        print(&table(&columns, rows))
    }
}
