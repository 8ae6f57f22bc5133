//! Merge: an applied configuration laid over the object that is there.
//!
//! In: the live object, the configuration, the schema. Out: the two as one. Never: anything taken out; what the
//! manager stated before and left out now goes in `apply`.

use serde_json::Value;

use super::fields::{Form, Step, form, item_step};
use super::schema::{ListMerge, Schema};

/// `config` over `live`.
pub(super) fn merged(live: Option<&Value>, config: &Value, schema: &Schema) -> Value {
    let Some(live) = live else { return config.clone() };
    match (form(schema, Some(live), Some(config)), live, config) {
        (Form::Map, Value::Object(old), Value::Object(new)) => {
            let mut out = old.clone();
            for (key, value) in new {
                let field = schema.field(key).map(|field| merged(old.get(key), value, field));
                out.insert(key.clone(), field.unwrap_or_else(|| value.clone()));
            }
            out.into()
        }
        (Form::List(merge), Value::Array(old), Value::Array(new)) => {
            merged_list(old, new, merge, schema.item())
        }
        (Form::Map | Form::List(_), _, Value::Null) => live.clone(),
        _ => config.clone(),
    }
}

/// Items in the order of the configuration; those only the live list has stay where they are among the others.
fn merged_list(old: &[Value], new: &[Value], merge: &ListMerge, item: &Schema) -> Value {
    let step = |value: &Value| item_step(value, merge, item);
    let old_steps: Vec<Step> = old.iter().map(step).collect();
    let new_steps: Vec<Step> = new.iter().map(step).collect();
    let live = |step: &Step| old_steps.iter().position(|other| other == step).map(|index| &old[index]);

    let mut out = Vec::new();
    let mut next = 0;
    for (value, step) in old.iter().zip(&old_steps) {
        if !new_steps.contains(step) {
            out.push(value.clone());
            continue;
        }
        // Whatever the configuration puts before its next shared item comes with it, in its order.
        while next < new.len() {
            let placed = &new_steps[next];
            let shared = old_steps.contains(placed);
            out.push(merged(live(placed), &new[next], item));
            next += 1;
            if shared {
                break;
            }
        }
    }
    out.extend(
        new[next..].iter().zip(&new_steps[next..]).map(|(value, step)| merged(live(step), value, item)),
    );
    out.into()
}
