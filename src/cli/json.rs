//! Messages of the API as JSON for programs.
//!
//! Keys are the field names of the .proto files. Amounts are integers in the smallest unit, ids of 16
//! bytes are hexadecimal, enum values go without their prefix (`"BUY"`), what is unspecified is null,
//! and of a oneof only the member that is set appears.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, ReflectMessage as _, Value as Reflected,
};
use serde_json::{Map, Value};

use crate::client::id_to_hex;

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap_or_default())
}

/// A message of `counterfoil.v1` as JSON.
#[must_use]
pub fn to_json<M: Message>(message: &M) -> Value {
    // The Rust type of a message has the message's name.
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
    let Some(descriptor) = pool().get_message_by_name(&format!("counterfoil.v1.{name}")) else { return Value::Null };
    match DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()) {
        Ok(message) => object(&message),
        Err(_) => Value::Null,
    }
}

fn object(message: &DynamicMessage) -> Value {
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        let present = message.has_field(&field);
        if !present && field.containing_oneof().is_some() {
            continue;
        }
        let value = if !present && matches!(field.kind(), Kind::Message(_)) && !field.is_list() {
            Value::Null
        } else {
            value(&message.get_field(&field), &field)
        };
        object.insert(field.name().to_owned(), value);
    }
    Value::Object(object)
}

fn value(reflected: &Reflected, field: &FieldDescriptor) -> Value {
    match reflected {
        Reflected::Bool(flag) => Value::from(*flag),
        Reflected::I32(number) => Value::from(*number),
        Reflected::I64(number) => Value::from(*number),
        Reflected::U32(number) => Value::from(*number),
        Reflected::U64(number) => Value::from(*number),
        Reflected::F32(number) => Value::from(*number),
        Reflected::F64(number) => Value::from(*number),
        Reflected::String(text) => Value::from(text.as_str()),
        Reflected::Bytes(bytes) => Value::from(id_to_hex(bytes)),
        Reflected::EnumNumber(number) => match field.kind() {
            Kind::Enum(kind) => enum_value(*number, &kind),
            _ => Value::from(*number),
        },
        Reflected::Message(message) => object(message),
        Reflected::List(list) => list.iter().map(|entry| value(entry, field)).collect(),
        // The API has no maps.
        Reflected::Map(_) => Value::Null,
    }
}

fn enum_value(number: i32, kind: &EnumDescriptor) -> Value {
    let Some(value) = kind.get_value(number) else { return Value::from(number) };
    if number == 0 {
        return Value::Null;
    }
    // The zero value is PREFIX_UNSPECIFIED.
    let zero = kind.get_value(0);
    let prefix = zero.as_ref().and_then(|zero| zero.name().strip_suffix("UNSPECIFIED")).unwrap_or_default();
    Value::from(value.name().strip_prefix(prefix).unwrap_or(value.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::api;
    use bytes::Bytes;

    #[test]
    fn a_message_is_written_with_the_names_of_the_proto_files() {
        let result = api::CommandResult {
            id: Bytes::from_static(&[0xAB; 16]),
            rejection: api::Rejection::NotFillable.into(),
            position: Some(api::Position { term: 1, index: 2, sequence: u64::MAX }),
            balances: vec![api::BalanceLeft { posted: -5, ..api::BalanceLeft::default() }],
            ..api::CommandResult::default()
        };
        let json = to_json(&result);
        assert_eq!(json["id"], "ab".repeat(16));
        assert_eq!(json["rejection"], "NOT_FILLABLE");
        assert_eq!(json["position"]["sequence"], u64::MAX);
        assert_eq!(json["balances"][0]["posted"], -5);
        assert_eq!(json["order"], Value::Null, "absent");
        assert_eq!(json["duplicate"], false, "defaults are written");
    }

    #[test]
    fn of_a_oneof_the_member_that_is_set_appears() {
        let order = api::NewOrder {
            side: api::Side::Buy.into(),
            pricing: Some(api::new_order::Pricing::LimitPrice(7)),
            ..api::NewOrder::default()
        };
        let json = to_json(&order);
        assert_eq!((&json["side"], &json["limit_price"]), (&Value::from("BUY"), &Value::from(7)));
        assert!(json.get("worst_price").is_none());
        assert_eq!(json["time_in_force"], Value::Null, "unspecified");
    }
}
