//! relabel::rule::check: which rules Prometheus accepts.
//!
//! Source: `Validate` of Prometheus's `model/relabel`; every refusal here is one there.

use sluice_filter::re2::{self, Budget};

use super::{Action, Pattern, Rule, Template, is_label_name};
use crate::config::RuleConfig;
use crate::error::Error;

const SEPARATOR: &str = ";";
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";

/// What a label name with group references must look like.
const NAME_TEMPLATE: &str = r"(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+";

const ACTIONS: &str = "replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase";

impl Rule {
    /// Checks and compiles one rule. The error has no place in a list.
    pub fn compile(config: &RuleConfig) -> Result<Rule, Error> {
        Rule::compile_within(config, &mut Budget::unlimited())
    }

    /// [`Rule::compile`]; fails as well if there is no room for the regular expression.
    pub fn compile_within(config: &RuleConfig, budget: &mut Budget) -> Result<Rule, Error> {
        let name = config.action.as_deref().unwrap_or("replace").to_lowercase();
        only_what_is_used(&name, config)?;
        let replacement = config.replacement.as_deref().unwrap_or(REPLACEMENT);
        let target = config.target_label.as_deref().unwrap_or_default();
        let action = match name.as_str() {
            "replace" => {
                Action::Replace { target: template_name(target, &name)?, replacement: template(replacement) }
            }
            "keep" => Action::Keep,
            "drop" => Action::Drop,
            "keepequal" => Action::KeepEqual { target: plain_name(target, &name)? },
            "dropequal" => Action::DropEqual { target: plain_name(target, &name)? },
            "hashmod" => hash_mod(target, config.modulus)?,
            "labelmap" => Action::LabelMap { replacement: map_template(replacement)? },
            "labeldrop" => Action::LabelDrop,
            "labelkeep" => Action::LabelKeep,
            "lowercase" => Action::Lowercase { target: plain_name(target, &name)? },
            "uppercase" => Action::Uppercase { target: plain_name(target, &name)? },
            _ => {
                let cause = format!("{name:?} is no action");
                return Err(Error::new("action", cause, format!("use one of {ACTIONS}")));
            }
        };
        Ok(Rule {
            sources: source_names(config.source_labels.as_deref().unwrap_or_default())?,
            separator: config.separator.clone().unwrap_or_else(|| SEPARATOR.to_owned()),
            regex: pattern(config.regex.as_deref().unwrap_or(REGEX), &action, budget)?,
            action,
        })
    }
}

/// Some actions refuse fields that they would ignore. A field that says its default is as good as left out.
fn only_what_is_used(action: &str, config: &RuleConfig) -> Result<(), Error> {
    let equal = matches!(action, "keepequal" | "dropequal");
    let names = matches!(action, "labeldrop" | "labelkeep");
    let case = matches!(action, "lowercase" | "uppercase");
    let other =
        |value: &Option<String>, default: &str| value.as_deref().is_some_and(|value| value != default);
    let unused = [
        ("source_labels", names && config.source_labels.is_some()),
        ("target_label", names && other(&config.target_label, "")),
        ("regex", equal && config.regex.is_some()),
        ("modulus", (equal || names) && config.modulus.is_some_and(|modulus| modulus != 0)),
        ("separator", (equal || names) && other(&config.separator, SEPARATOR)),
        ("replacement", (equal || names || case) && other(&config.replacement, REPLACEMENT)),
    ];
    let Some((field, _)) = unused.into_iter().find(|(_, refused)| *refused) else { return Ok(()) };
    let cure = match (names, equal) {
        (true, _) => "remove it: this action only uses regex",
        (_, true) => "remove it: this action only uses source_labels and target_label",
        _ => "remove it",
    };
    Err(Error::new(field, format!("{action} does not use it"), cure))
}

fn hash_mod(target: &str, modulus: Option<u64>) -> Result<Action, Error> {
    match modulus {
        None | Some(0) => Err(Error::new("modulus", "hashmod needs a modulus", "give it, above 0")),
        Some(modulus) => Ok(Action::HashMod { target: plain_name(target, "hashmod")?, modulus }),
    }
}

fn source_names(names: &[String]) -> Result<Vec<String>, Error> {
    match names.iter().find(|name| !is_label_name(name)) {
        Some(name) => Err(bad_name("source_labels", name)),
        None => Ok(names.to_vec()),
    }
}

fn plain_name(target: &str, action: &str) -> Result<String, Error> {
    match target {
        "" => Err(missing_target(action)),
        _ if is_label_name(target) => Ok(target.to_owned()),
        _ => Err(bad_name("target_label", target)),
    }
}

fn template_name(target: &str, action: &str) -> Result<Template, Error> {
    if !target.contains('$') {
        return plain_name(target, action).map(Template::Plain);
    }
    if is_name_template(target) { Ok(template(target)) } else { Err(bad_name("target_label", target)) }
}

fn map_template(replacement: &str) -> Result<Template, Error> {
    if is_name_template(replacement) {
        Ok(template(replacement))
    } else {
        Err(bad_name("replacement", replacement))
    }
}

fn is_name_template(text: &str) -> bool {
    re2::anchored(NAME_TEMPLATE).is_ok_and(|names| names.is_match(text))
}

fn template(text: &str) -> Template {
    if text.contains('$') { Template::Expand(text.to_owned()) } else { Template::Plain(text.to_owned()) }
}

fn missing_target(action: &str) -> Error {
    Error::new("target_label", format!("{action} needs a target_label"), "name the label to write or compare")
}

fn bad_name(field: &'static str, name: &str) -> Error {
    let cure = "use letters, digits and `_`, beginning with no digit; a group is `$1` or `${1}`";
    Error::new(field, format!("{name:?} is no label name"), cure)
}

fn pattern(regex: &str, action: &Action, budget: &mut Budget) -> Result<Pattern, Error> {
    let simple = |template: &Template| match template {
        Template::Plain(_) => true,
        Template::Expand(text) => text == "$1" || text == "${1}",
    };
    let everything = regex == REGEX
        && match action {
            Action::Replace { target, replacement } => simple(target) && simple(replacement),
            Action::LabelMap { replacement } => simple(replacement),
            _ => true,
        };
    if everything {
        return Ok(Pattern::Everything);
    }
    re2::capturing_within(regex, budget).map(Pattern::Regex).map_err(|error| {
        let cause = format!("the regular expression fails at character {}: {}", error.position, error.cause);
        Error::new("regex", cause, error.cure)
    })
}
