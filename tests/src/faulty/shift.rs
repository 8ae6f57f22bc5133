//! Shift: a query API in front of which time is another one.
//!
//! In: forms and answers of the query API. Out: the same, so many milliseconds earlier or later. Never: another change.
//!
//! The clock of a machine cannot be set back for one process of it, and libraries that pretend to do so do not reach programs in
//! Go. Whoever speaks to a server through this front cannot tell the difference: the server is asked for what was by its own
//! time, and every moment it names, `Date` included, is one by the other time.

use axum::body::Bytes;
use http::HeaderMap;
use http::header::DATE;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Fields of a question that are moments.
const MOMENTS: [&str; 3] = ["time", "start", "end"];

/// A question in another time, and the moments it is for.
pub(super) fn asked(form: &[u8], by_ms: i64) -> (Bytes, Vec<i64>) {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(form).into_owned().collect();
    let of = |name: &str| pairs.iter().find(|(own, _)| own == name).and_then(|(_, text)| millis(text));
    let moments = match (of("time"), of("start"), of("end"), of("step")) {
        (Some(time), ..) => vec![time],
        (_, Some(start), Some(end), Some(step)) if step > 0 => {
            (0..=(end - start) / step).map(|n| start + n * step).collect()
        }
        _ => Vec::new(),
    };
    let mut shifted = url::form_urlencoded::Serializer::new(String::new());
    for (name, text) in &pairs {
        match millis(text).filter(|_| MOMENTS.contains(&name.as_str())) {
            Some(at) => shifted.append_pair(name, &(seconds(at + by_ms)).to_string()),
            None => shifted.append_pair(name, text),
        };
    }
    (shifted.finish().into(), moments)
}

/// An answer in another time; what is none of the query API's stays as it is.
pub(super) fn answered(body: &Bytes, by_ms: i64) -> Bytes {
    let Ok(mut document) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    let results = document.pointer_mut("/data/result").and_then(Value::as_array_mut).into_iter().flatten();
    for result in results {
        let samples = result.get_mut("values").and_then(Value::as_array_mut).into_iter().flatten();
        samples.for_each(|sample| shift(&mut sample[0], by_ms));
        if let Some(moment) = result.get_mut("value").and_then(|sample| sample.get_mut(0)) {
            shift(moment, by_ms);
        }
    }
    serde_json::to_vec(&document).expect("it was JSON").into()
}

/// What time it says it is.
pub(super) fn dated(headers: &mut HeaderMap, by_ms: i64) {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    let now = if by_ms < 0 { SystemTime::now() - by } else { SystemTime::now() + by };
    headers.insert(DATE, httpdate::fmt_http_date(now).parse().expect("a date is a header"));
}

fn shift(moment: &mut Value, by_ms: i64) {
    if let Some(at) = moment.as_f64() {
        *moment = seconds((at * 1000.0).round() as i64 + by_ms).into();
    }
}

fn millis(text: &str) -> Option<i64> {
    Some((text.parse::<f64>().ok()? * 1000.0).round() as i64)
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_are_moved_and_nothing_else_of_them() {
        let (form, moments) = asked(b"query=up&time=1435781451.781&limit=9", -1_500);
        assert_eq!(
            (&*form, &*moments),
            (&b"query=up&time=1435781450.281&limit=9"[..], &[1_435_781_451_781][..])
        );
        let (form, moments) = asked(b"query=up&start=10&end=12&step=1", 1_000);
        assert_eq!(
            (&*form, &*moments),
            (&b"query=up&start=11&end=13&step=1"[..], &[10_000, 11_000, 12_000][..])
        );
        let body =
            r#"{"data":{"result":[{"metric":{"a":"1"},"value":[10.5,"7"]},{"values":[[1,"2"],[2,"NaN"]]}]}}"#;
        let moved: Value = serde_json::from_slice(&answered(&body.into(), 250)).unwrap();
        let result = &moved["data"]["result"];
        assert_eq!(result[0], serde_json::json!({ "metric": { "a": "1" }, "value": [10.75, "7"] }));
        assert_eq!(result[1], serde_json::json!({ "values": [[1.25, "2"], [2.25, "NaN"]] }));
        assert_eq!(answered(&"no JSON".into(), 250), "no JSON");
    }
}
