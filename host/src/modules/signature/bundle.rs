//! Bundle: a signature as Sigstore's tools write it into one file (`sigstore_bundle.proto`, in JSON).
//!
//! In: a bundle's bytes. Out: what it claims. Never: a key, a certificate or a log's entry of its own believed: which keys
//! count is the operator's to say.

use serde::Deserialize;

use super::statement::PAYLOAD_TYPE;
use super::{Claim, Form};

/// How the types of all versions begin.
pub(in crate::modules) const TYPE: &str = "application/vnd.dev.sigstore.bundle";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Option<Envelope>,
    message_signature: Option<MessageSignature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

/// The digest beside it is for whoever looks for its message, and no part of the check.
#[derive(Deserialize)]
struct MessageSignature {
    signature: String,
}

/// What a bundle claims; `None` if it is not one that could sign an artefact. Of an envelope's signatures there must be one
/// exactly, as the format has it.
pub(in crate::modules) fn claim(bytes: &[u8]) -> Option<Claim> {
    let Bundle { dsse_envelope, message_signature } = serde_json::from_slice(bytes).ok()?;
    match (dsse_envelope, message_signature) {
        (Some(Envelope { payload, payload_type, signatures }), None) => match signatures.as_slice() {
            [Signature { sig }] if payload_type == PAYLOAD_TYPE => {
                Some(Claim { form: Form::Statement, payload, signature: sig.clone() })
            }
            _ => None,
        },
        (None, Some(MessageSignature { signature })) => {
            Some(Claim { form: Form::Manifest, payload: String::new(), signature })
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_bundle_has_one_signature_of_one_thing() {
        let one = json!({ "payload": "cA==", "payloadType": PAYLOAD_TYPE, "signatures": [{ "sig": "cw==", "keyid": "" }] });
        let message =
            json!({ "messageDigest": { "algorithm": "SHA2_256", "digest": "" }, "signature": "cw==" });
        let claimed = |content: Value| {
            let mut bundle = content;
            bundle["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.3+json".into();
            bundle["verificationMaterial"] = json!({ "publicKey": { "hint": "h" }, "tlogEntries": [] });
            claim(bundle.to_string().as_bytes())
        };
        let expected = Claim { form: Form::Statement, payload: "cA==".into(), signature: "cw==".into() };
        assert_eq!(claimed(json!({ "dsseEnvelope": one })), Some(expected));
        let expected = Claim { form: Form::Manifest, payload: String::new(), signature: "cw==".into() };
        assert_eq!(claimed(json!({ "messageSignature": message })), Some(expected));
        let with = |name: &str, value: Value| {
            let mut envelope = one.clone();
            envelope[name] = value;
            json!({ "dsseEnvelope": envelope })
        };
        for content in [
            json!({}),
            json!({ "dsseEnvelope": one, "messageSignature": message }),
            with("signatures", json!([])),
            with("signatures", json!([{ "sig": "a" }, { "sig": "b" }])),
            with("payloadType", json!("text/plain")),
            with("payload", json!(1)),
        ] {
            assert_eq!(claimed(content.clone()), None, "{content}");
        }
        assert_eq!(claim(b"<html>"), None);
    }
}
