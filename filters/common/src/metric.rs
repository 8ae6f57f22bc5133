//! common::metric: which names metrics and labels may have.

/// The label that carries a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`: what every receiver takes.
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, |byte| byte == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false)
}

fn is_name(name: &str, more: impl Fn(u8) -> bool) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || more(byte);
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(legal)
}
