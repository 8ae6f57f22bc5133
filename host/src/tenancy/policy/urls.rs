//! Urls: which addresses a tenant may write as a `remote_write` target.
//!
//! A pattern is `scheme://host[:port][/path]`; in each part `*` stands for any run of characters. A port or a path that
//! is not written is not restricted. The address is compared in its normal form: host in lower case without a final
//! dot, the scheme's own port written out, the path without dot segments; its query is not looked at.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::Glob;

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPattern {
    scheme: Glob,
    host: Glob,
    port: Option<Glob>,
    path: Option<Glob>,
    text: String,
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a pattern of addresses")]
pub struct UrlPatternError;

impl FromStr for UrlPattern {
    type Err = UrlPatternError;

    fn from_str(text: &str) -> Result<UrlPattern, UrlPatternError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlPatternError)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(&rest[at..])),
            None => (rest, None),
        };
        // An IPv6 address has colons of its own, in brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let word =
            |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "@?#".contains(c));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b == b'*' || b.is_ascii_digit());
        let sound = ["http", "https", "*"].contains(&scheme)
            && word(host)
            && port.is_none_or(number)
            && path.is_none_or(word);
        if !sound {
            return Err(UrlPatternError);
        }
        Ok(UrlPattern {
            scheme: Glob::new(scheme),
            host: Glob::new(host.trim_end_matches('.').to_ascii_lowercase()),
            port: port.map(Glob::new),
            path: path.map(Glob::new),
            text: text.to_owned(),
        })
    }
}

impl UrlPattern {
    /// Whether an address fits.
    pub fn matches(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default().to_string();
        self.scheme.matches(url.scheme())
            && self.host.matches(host.strip_suffix('.').unwrap_or(host))
            && self.port.as_ref().is_none_or(|glob| glob.matches(&port))
            && self.path.as_ref().is_none_or(|glob| glob.matches(url.path()))
    }
}

impl fmt::Display for UrlPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, url: &str) -> bool {
        pattern.parse::<UrlPattern>().unwrap().matches(&Url::parse(url).unwrap())
    }

    #[test]
    fn what_a_pattern_does_not_say_it_does_not_restrict() {
        for (pattern, inside, outside) in [
            ("https://*", "https://a.b:1/c?d", "http://a.b/"),
            ("*://*.example.com", "http://x.y.example.com:8080/p", "http://example.com/"),
            ("*://example.com", "http://EXAMPLE.com./p", "http://example.com.evil.org/"),
            ("https://h:8443", "https://h:8443/x", "https://h/x"),
            ("https://h:443", "https://h/x", "http://h:80/"),
            ("http://h/api/*", "http://h/api/v1/write?x=1", "http://h/apis"),
            ("http://h/api/*", "http://h/x/../api/v1", "http://h/api/../admin"),
            ("http://[fd00::1]:9090", "http://[fd00:0::1]:9090/", "http://[fd00::2]:9090/"),
            ("http://10.0.0.*", "http://10.0.0.7/", "http://10.0.1.0/"),
            ("http://127.0.0.1", "http://0x7f.1/", "http://127.0.0.2/"),
        ] {
            assert!(fits(pattern, inside), "{pattern} {inside}");
            assert!(!fits(pattern, outside), "{pattern} {outside}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "example.com",
            "ftp://h",
            "https://",
            "https://h:x",
            "https://u@h",
            "https://h/a?b",
            "https:///p",
            "https://h:",
        ] {
            assert_eq!(text.parse::<UrlPattern>(), Err(UrlPatternError), "{text:?}");
        }
    }
}
