//! Configurations as operators write them: what they come to, and what is said of mistakes.

use super::*;
use crate::discover::cluster::{Kind, Port, Scheme};
use crate::model::{
    Audience, Compression, Credentials, Exception, Header, HeaderValue, Names, Proxy, ProxyLogin, Secret,
    Source,
};
use crate::tenancy::policy::{IsolationMode, Services};

const LEAST: &str =
    "sources: [{name: a, url: 'http://127.0.0.1:9090'}]\ntenants: {folder: t}\nstate: {file: s}\n";

fn read(text: &str) -> Result<(Config, Vec<Problem>), Invalid> {
    Config::read(&Arc::from(FilePath::new("/etc/sluice/sluice.yaml")), text)
}

fn said(text: &str) -> Vec<String> {
    let problems = read(text).map_or_else(|invalid| invalid.0, |(_, warnings)| warnings);
    problems.iter().map(|p| p.to_string().replacen("/etc/sluice/sluice.yaml:", "", 1)).collect()
}

#[test]
fn the_shortest_configuration_gets_every_default() {
    let (config, warnings) = read(LEAST).unwrap();
    assert_eq!(warnings, []);
    let Tenants::Folder(tenants) = &config.tenants else { panic!() };
    assert_eq!(tenants.folder, FilePath::new("/etc/sluice/t"));
    assert_eq!(tenants.secrets, FilePath::new("/etc/sluice/secrets"));
    assert_eq!(config.state.file.as_deref(), Some(FilePath::new("/etc/sluice/s")));
    assert_eq!(config.discovery.sources[0].lag, Duration::from_secs(15));
    assert_eq!(config.discovery.sources[0].timeout, Duration::from_secs(10));
    assert_eq!(config.discovery.sources[0].series_max, 1_000_000);
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.listen.debug.to_string(), "127.0.0.1:8081");
    assert_eq!(config.delivery.backfill_max, Duration::from_secs(3000));
    assert_eq!(config.tenants.policy().default.interval_min, Duration::from_secs(5));
    assert_eq!(config.tenants.policy().default.isolation.mode, IsolationMode::Optional);
    assert_eq!(config.log.level, "info");
}

#[test]
fn every_field_is_read() {
    let (config, warnings) = read(
        "sources:\n- {name: a, url: 'https://x/prom', labels: {cluster: c}, externalLabels: {replica: r}, lag: 20s, timeout: 5s, maxSeries: 5, replicaGroup: g}\nsourceLabel: team\ntenants: {folder: /t}\nsecrets: {folder: s}\nendpoints: {'p.ns:9090': 'http://h:1', 's-0.p.ns:9090': 'http://h:2'}\nlimits: {minInterval: 1s, maxPatterns: 3, maxPatternSize: 40, targetNamespaces: [a]}\nlabels: {management: {by: me}, protected: [by]}\nisolation: {mode: enforced, label: ns}\ndelivery: {maxSamplesPerRequest: 5, maxBytesPerRequest: 1Mi, concurrency: 3, timeout: 1s, maxBackfill: 1m, minBackoff: 1s, maxBackoff: 2s}\nstate: {file: f, saveInterval: 2s}\nlisten: {address: '0.0.0.0:1', debug: 'localhost:2'}\nfilters: {maxInstances: 9, memory: 32Mi, timeout: 2s, wasi: none}\nlog: {format: text, level: 'sluice=debug'}\n",
    )
    .unwrap();
    assert_eq!(warnings, []);
    let policy = &config.tenants.policy().default;
    assert_eq!((policy.patterns_max, policy.patterns_size_max), (3, 40));
    assert_eq!(policy.source_label.as_deref(), Some("team"));
    let Services::Map(map) = &policy.services else { panic!() };
    assert_eq!(map["s-0.p.ns:9090"].as_str(), "http://h:2/");
    assert_eq!((config.delivery.bytes_max, config.filters.memory_bytes_max), (1 << 20, 32 << 20));
    assert_eq!(config.filters.wasi, Wasi::None);
    assert_eq!(config.log, Log { format: LogFormat::Text, level: "sluice=debug".into() });
}

const EXAMPLE: &str = include_str!("../../../deploy/examples/sluice.yaml");

#[test]
fn the_example_is_accepted_without_a_word() {
    assert_eq!(said(EXAMPLE), [""; 0]);
}

/// The fields of every struct in a source file, as they are written in YAML.
fn fields(source: &str) -> Vec<String> {
    let (mut fields, mut inside) = (Vec::new(), false);
    for line in source.lines() {
        inside = line.contains("struct ") && line.ends_with('{') || inside && line != "}";
        let line = line.trim().trim_start_matches("pub(super) ");
        let name = line.split_once(": ").map_or("", |(name, _)| name);
        if !inside || name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            continue;
        }
        let mut words = name.split('_');
        let mut camel = words.next().unwrap_or_default().to_owned();
        words.for_each(|word| camel.extend([&word[..1].to_ascii_uppercase(), &word[1..]]));
        fields.push(camel);
    }
    fields
}

#[test]
fn the_example_names_every_field() {
    let sources = [include_str!("file.rs"), include_str!("discovery.rs"), include_str!("access.rs")];
    let fields: Vec<String> = sources.iter().flat_map(|source| fields(source)).collect();
    assert!(fields.len() > 60 && fields.contains(&"maxBytesPerRequest".to_owned()), "{fields:?}");
    let named = |field: &String| {
        EXAMPLE.match_indices(&format!("{field}:")).any(|(at, _)| EXAMPLE[..at].ends_with([' ', '{']))
            || EXAMPLE.contains(&format!("\n{field}:"))
    };
    let missing: Vec<_> = fields.iter().filter(|field| !named(field)).collect();
    assert!(missing.is_empty(), "write them into deploy/examples/sluice.yaml: {missing:?}");
}

/// Some sections of the example hold nothing but defaults: uncommented they change nothing.
#[test]
fn the_defaults_that_the_example_shows_are_the_defaults() {
    let default = read(LEAST).unwrap().0;
    for section in ["isolation", "limits", "labels", "delivery", "filters", "listen", "log"] {
        let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix("# "));
        let mut lines = lines.skip_while(|line| *line != format!("{section}:"));
        let mut text = format!("{}\n", lines.next().expect(section));
        // The examples among the defaults: of what is not there by default.
        let is_example = |line: &&str| line.contains("targetNamespaces") || line.contains("maxMemory");
        let shown = lines.take_while(|line| line.starts_with("  ")).filter(|line| !is_example(line));
        shown.for_each(|line| text.extend([line, "\n"]));
        let (config, said) = read(&format!("{LEAST}{text}")).unwrap_or_else(|e| panic!("{text}{e}"));
        assert_eq!((config, said), (default.clone(), vec![]), "{text}");
    }
}

#[test]
fn where_modules_come_from_is_read() {
    let pem = "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEa0/G5bJKAHD+aWGpdk5NxPvlY7iF\\nRC+CqmGT3xRnqWqkFQmYD0sPO3ipmzrLqSlBqwXX4JDZQvYsY5PD+Zy6Rg==\\n-----END PUBLIC KEY-----\\n";
    let text = format!(
        "{LEAST}filters:\n  modulesFolder: m\n  cacheFolder: /c\n  maxCache: 2Gi\n  maxModule: 8Mi\n  allow:\n  - {{host: 'h:5/a', plainHttp: true, networks: [127.0.0.0/8], redirects: ['*.b']}}\n  - {{host: c, tls: {{caFile: ca}}, verify: {{keys: [\"PEM\"]}}}}\nreceivers: {{deny: [10.0.0.0/8]}}\n"
    );
    let config = read(&text.replace("PEM", pem)).map_err(|invalid| invalid.to_string());
    // The point above is on no curve: the key is refused, and all else is read.
    let said = config.unwrap_err();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("filters.allow[1].verify.keys[0]: is neither RSA nor ECDSA on P-256"), "{said}");
    let (config, warnings) = read(&text.replace(", verify: {keys: [\"PEM\"]}", "")).unwrap();
    assert_eq!(warnings, []);
    let crate::modules::Config { folder, reach, module_bytes_max } = config.modules;
    assert_eq!(folder.as_deref(), Some(FilePath::new("/etc/sluice/m")));
    let cache = config.cache.unwrap();
    assert_eq!((cache.folder.as_path(), cache.bytes_max), (FilePath::new("/c"), 2 << 30));
    assert_eq!(module_bytes_max, 8 << 20);
    let crate::modules::Reach::Listed { allow, receivers } = reach else { panic!() };
    assert_eq!(receivers.deny, ["10.0.0.0/8".parse().unwrap()]);
    let [one, two] = allow.as_slice() else { panic!("{allow:?}") };
    assert_eq!(
        (one.prefix.to_string().as_str(), one.transport),
        ("h:5/a", crate::modules::Transport::PlainHttp)
    );
    assert_eq!((one.networks.len(), one.redirects[0].to_string().as_str()), (1, "*.b"));
    let ca = two.tls.as_ref().and_then(|tls| tls.ca_file.as_deref());
    assert_eq!(
        (ca, two.transport),
        (Some(FilePath::new("/etc/sluice/ca")), crate::modules::Transport::Https)
    );
}

#[test]
fn what_is_wrong_with_where_modules_come_from_is_said() {
    for (filters, said_) in [
        ("maxModule: 1", "filters.maxModule: 1 cannot be used; write a size from 64Ki to 256Mi"),
        (
            "maxCache: 1Mi",
            "warning: filters.maxCache: is less than one module may have, which then is not kept; write more than maxModule",
        ),
        (
            "allow: [{host: 'https://ghcr.io'}]",
            "filters.allow[0].host: \"https://ghcr.io\" has a scheme; write the host alone, and plainHttp: true if it is spoken to in plain text",
        ),
        ("allow: [{host: a}, {host: A}]", "filters.allow[1].host: a stands twice; keep one of the two"),
        (
            "allow: [{host: a, networks: [x]}]",
            "filters.allow[0].networks[0]: \"x\" is not an address; write it as 10.0.0.0/8 or fd00::/8, or one address",
        ),
        (
            "allow: [{host: a, redirects: ['*']}]",
            "filters.allow[0].redirects[0]: \"*\" names no host; write ghcr.io, registry.example.com:5000 or *.example.com",
        ),
        (
            "allow: [{host: a, plainHttp: true, tls: {}}]",
            "filters.allow[0].tls: stands beside plainHttp: true; remove one of the two",
        ),
        (
            "allow: [{host: a, verify: {keys: []}}]",
            "filters.allow[0].verify.keys: has no key, so nothing could be fetched; write what cosign.pub holds, or remove verify",
        ),
    ] {
        let lines = said(&format!("{LEAST}filters: {{{filters}}}\n"));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].trim_start_matches("4: "), said_, "{filters}");
    }
}

#[test]
fn folders_that_are_missing_are_named_when_the_file_is_to_be_run() {
    let root = std::env::temp_dir().join(format!("sluice-config-{}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    let file = root.join("sluice.yaml");
    std::fs::write(&file, format!("{LEAST}secrets: {{folder: s}}\n")).unwrap();
    let said = Config::load(&file).unwrap_err().to_string().replace(&*root.to_string_lossy(), "");
    let cure = "create it, or correct the path, which is relative to this file";
    assert_eq!(
        said,
        format!(
            "/sluice.yaml:2: tenants.folder: there is no folder /t; {cure}\n\
             /sluice.yaml:4: warning: secrets.folder: there is no folder /s; {cure}"
        )
    );
    std::fs::create_dir(root.join("t")).unwrap();
    assert_eq!(Config::load(&file).unwrap().1.len(), 1);
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn without_a_label_or_isolation_a_resource_may_ask_for_everything() {
    let open = |more: &str| read(&format!("{LEAST}{more}")).unwrap().0.tenants.may_ask_for_everything();
    assert!(open("") && open("isolation: {mode: optional}\n"));
    assert!(!open("isolation: {mode: enforced}\n") && !open("sourceLabel: team\n"));
}

#[test]
fn the_short_example_can_be_run_from_where_it_is() {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/standalone");
    let (_, warnings) = Config::load(&folder.join("sluice.yaml")).unwrap();
    assert_eq!(warnings, []);
}

#[test]
fn the_example_for_a_cluster_is_accepted_without_a_word() {
    // Who we are is told by the environment.
    let example = include_str!("../../../deploy/examples/cluster.yaml");
    assert_eq!(
        said(&example.replace("\nkubernetes:\n", "\nkubernetes:\n  namespace: a\n  pod: b\n")),
        [""; 0]
    );
}

/// Each row: what is added to the shortest configuration, and the one thing that is to be said about it. The first
/// added line is line 4.
#[test]
fn mistakes_are_named_with_a_cure() {
    let rows = [
        ("sauces: []\n", r#"4: sauces: unknown field; did you mean "sources"?"#),
        ("limits: {minInterval: 5}\n", r#"4: limits.minInterval: 5 is not a duration; write "5s""#),
        ("limits: {minInterval: 0s}\n", r#"4: limits.minInterval: must be longer than nothing; write "5s""#),
        ("limits: {maxPatterns: 0}\n", "4: limits.maxPatterns: 0 would allow nothing; write 500"),
        (
            "labels: {management: {a-b: x}}\n",
            r#"4: labels.management.a-b: "a-b" is not a label's name; use letters, digits and _, not beginning with a digit or __"#,
        ),
        (
            "isolation: {mode: strict}\n",
            r#"4: isolation.mode: "strict" is not known here; write one of optional, enforced"#,
        ),
        (
            "endpoints: {'p.ns': 'http://h'}\n",
            r#"4: endpoints["p.ns"]: "p.ns" does not name a Service's port; write it as "service.namespace:port", or "pod.service.namespace:port""#,
        ),
        (
            "endpoints: {'p.ns:1': 'h:1'}\n",
            r#"4: endpoints["p.ns:1"]: "h:1" is not an http address; write it as http://host:port"#,
        ),
        (
            "delivery: {maxBytesPerRequest: 64Mi}\n",
            "4: delivery.maxBytesPerRequest: 64Mi cannot be used: Prometheus refuses bodies over 32Mi; write a size from 64Ki to 31Mi",
        ),
        (
            "delivery: {concurrency: 100}\n",
            "4: delivery.concurrency: 100 requests at once are too many for one receiver; write at most 64",
        ),
        (
            "delivery: {minBackoff: 5s, maxBackoff: 1s}\n",
            r#"4: delivery.maxBackoff: "1s" is shorter than minBackoff; write "5s" or more"#,
        ),
        (
            "delivery: {maxBackfill: 2h}\n",
            r#"4: warning: delivery.maxBackfill: "2h" is longer than a receiver takes old samples; write "50m", or give receivers an out-of-order window"#,
        ),
        (
            "delivery: {maxBackfill: 5s}\n",
            r#"4: warning: delivery.maxBackfill: "5s" gives up what a receiver misses while it is started again; write "50m", unless this is meant"#,
        ),
        (
            "listen: {address: '0.0.0.0:8081'}\n",
            "4: listen.debug: port 8081 is taken by listen.address; write another port, or 0.0.0.0:8081 to have one listener for everything",
        ),
        (
            "listen: {address: ':8080'}\n",
            r#"4: listen.address: ":8080" is not an address and port; write 0.0.0.0:8080 for all interfaces, 127.0.0.1:8080 for this machine"#,
        ),
        (
            "listen: {debug: '0.0.0.0:8081'}\n",
            "4: warning: listen.debug: everyone who can reach it sees every tenant's samples; write 127.0.0.1:8081, unless this is meant",
        ),
        (
            "filters: {memory: 64 MB}\n",
            r#"4: filters.memory: "64 MB" is not a size; write "64Mi", or a number of bytes"#,
        ),
        (
            "log: {level: warning}\n",
            r#"4: log.level: "warning" is not a level; write one of error, warn, info, debug, trace, off"#,
        ),
        (
            "tenancy: {rules: [{limits: {maxPatterns: 3}}]}\n",
            r#"4: tenancy.rules[0]: names no namespace; write namespaces: ["*"] for all, or a namespaceSelector"#,
        ),
        (
            "tenancy: {rules: [{namespaceSelector: {matchLabels: {a: b}}}]}\n",
            "4: tenancy.rules[0].namespaceSelector: namespaces have labels only in a cluster, so the rule would never count; write namespaces: [names]",
        ),
        (
            "tenancy: {rules: [{namespaces: [a], limits: {maxSeries: 0}}]}\n",
            "4: tenancy.rules[0].limits.maxSeries: 0 would allow nothing; write 1000000",
        ),
        (
            "targets: {urls: {allow: [example.com]}}\n",
            r#"4: targets.urls.allow[0]: "example.com" is not a pattern of addresses; write it as https://*.example.com/api/*, with * for any run of characters"#,
        ),
        (
            "targets: {headers: ['a b']}\n",
            r#"4: targets.headers: "a b" is not a header's name; use letters, digits and -"#,
        ),
        (
            "receivers: {deny: [10.0.0.1/8]}\n",
            r#"4: receivers.deny[0]: "10.0.0.1/8" has bits set after its prefix; write it as 10.0.0.0/8 or fd00::/8, or one address"#,
        ),
        ("log: {format: jsn}\n", r#"4: log.format: "jsn" is not known here; did you mean "json"?"#),
    ];
    for (added, expected) in rows {
        assert_eq!(said(&format!("{LEAST}{added}")), [expected], "{added}");
        assert_eq!(read(&format!("{LEAST}{added}")).is_err(), !expected.contains(" warning: "), "{added}");
    }
}

/// Each row: sources, and what is to be said about them.
#[test]
fn mistakes_in_sources_are_named_with_a_cure() {
    let rows = [
        (
            "[]",
            "1: sources: there is none, so nothing can be collected; write sources: [{name: main, url: \"http://127.0.0.1:9090\"}]",
        ),
        (
            "[{name: a, url: 'ftp://x'}]",
            r#"1: sources[0].url: "ftp://x" is not an http address; write it as http://host:port"#,
        ),
        (
            "[{name: a, url: 'http://u:p@x'}]",
            "1: sources[0].url: holds credentials, which are never sent from an address; remove them",
        ),
        (
            "[{name: a, url: 'http://x?a=b'}]",
            r#"1: sources[0].url: "http://x?a=b" has a part after ? or #; write only the server's base address"#,
        ),
        (
            "[{name: a b, url: 'http://x'}]",
            r#"1: sources[0].name: "a b" is not a name; use letters, digits, -, _ and . (at most 63)"#,
        ),
        ("[{url: 'http://x'}]", "1: sources[0].name: is missing; write name: …"),
        ("[{name: a, url: 'http://x', lag: 5}]", r#"1: sources[0].lag: 5 is not a duration; write "5s""#),
        (
            "[{name: a, url: 'http://x', lag: 5s}]",
            r#"1: warning: sources[0].lag: "5s" is shorter than Prometheus' default scrape timeout of 10s; write "15s", unless every scrape timeout there is shorter"#,
        ),
        (
            "[{name: a, url: 'http://x', labels: {a: x}}, {name: a, url: 'http://y', labels: {a: y}}]",
            r#"1: sources[1].name: "a" is the name of another source (http://x/); give each source a name of its own"#,
        ),
        (
            "[{name: a, url: 'http://x'}, {name: b, url: 'http://y'}]",
            "1: warning: sources[1].labels: are the same as those of a, so series of the two cannot be told apart; give each a label such as cluster, or both one replicaGroup if they scrape the same targets",
        ),
        (
            "[{name: a, url: 'http://x', replicaGroup: g, labels: {a: x}}, {name: b, url: 'http://y', replicaGroup: g}]",
            "1: sources[1].labels: differ from those of a, its replica; give replicas the same labels, or remove replicaGroup",
        ),
        (
            "[{name: a, url: 'http://x', replicaGroup: b, labels: {a: x}}, {name: b, url: 'http://y'}]",
            r#"1: sources[0].replicaGroup: "b" is also the name of a source that is no replica; give the group another name"#,
        ),
        (
            "[{name: a, url: 'http://x', maxSeries: 0}]",
            "1: sources[0].maxSeries: 0 would refuse every answer; write 1000000",
        ),
        (
            "[{name: a, url: 'http://x', labels: {__a: x}}]",
            r#"1: sources[0].labels.__a: "__a" is not a label's name; use letters, digits and _, not beginning with a digit or __"#,
        ),
    ];
    for (sources, expected) in rows {
        assert_eq!(
            said(&format!("sources: {sources}\ntenants: {{folder: t}}\nstate: {{file: s}}\n")),
            [expected],
            "{sources}"
        );
    }
}

#[test]
fn a_missing_state_file_and_folder_are_mentioned() {
    let text = LEAST.replace("state: {file: s}\n", "");
    assert_eq!(
        said(&text),
        [
            "1: warning: state.file: is missing, so ticks missed during a restart are not asked for again; write state: {file: sluice.state}"
        ]
    );
    assert_eq!(
        said(&LEAST.replace("tenants: {folder: t}\n", "")),
        ["1: tenants: is missing; write tenants: {folder: …}, or kubernetes: {} in a cluster"]
    );
    assert_eq!(said("a: 1\n---\nb: 2\n"), [" the file holds 2 documents; write exactly one configuration"]);
    assert!(
        Config::load(FilePath::new("/nowhere/sluice.yaml"))
            .unwrap_err()
            .to_string()
            .starts_with("/nowhere/sluice.yaml: the configuration cannot be read: ")
    );
}

const BLOCK: &str = "{name: infra, kind: pod, namespaces: [mon]";

fn discovering(block: &str) -> String {
    LEAST.replace(
        "sources: [{name: a, url: 'http://127.0.0.1:9090'}]",
        &format!("discovery: {{kubernetes: [{block}]}}"),
    )
}

#[test]
fn a_block_gets_every_default() {
    let (config, warnings) = read(&discovering("{name: infra, kind: endpointslice}")).unwrap();
    let said: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert!(said[0].contains("namespaces: are missing, so whoever may label an object"), "{said:?}");
    assert_eq!(said.len(), 1, "{said:?}");
    let block = &config.discovery.blocks[0];
    assert_eq!((block.kind, &block.namespaces, &block.port), (Kind::EndpointSlice, &None, &None));
    assert_eq!((block.scheme, block.path.as_str()), (Scheme::Http, "/"));
    assert_eq!(
        (block.scheme_annotation.as_str(), block.path_annotation.as_str()),
        ("prometheus.io/scheme", "prometheus.io/path")
    );
    assert_eq!(block.keep_absent, Duration::from_secs(900));
    assert_eq!((block.lag, block.timeout), (Duration::from_secs(15), Duration::from_secs(10)));
    assert_eq!(config.discovery.health, crate::discover::health::Config::default());
    assert_eq!(config.kubeconfig, None);
}

#[test]
fn headers_proxies_and_compression_are_read_and_mistakes_in_them_told() {
    let source = |more: &str| {
        read(&format!(
            "sources: [{{name: s, url: 'https://x', {more}}}]\ntenants: {{folder: t}}\nstate: {{file: s}}\n"
        ))
    };
    let (config, said) = source(
        "headers: {X-B: {file: b}, X-A: a}, compression: gzip, proxy: {url: 'http://[::1]:80', username: u, passwordFile: p}",
    )
    .unwrap();
    assert!(said.is_empty(), "{said:?}");
    let source_of = |config: &Config| (*config.discovery.sources[0]).clone();
    let Source { access, compression, .. } = source_of(&config);
    let named = |name: &str, value| Header { name: name.into(), value };
    let [a, b] = [HeaderValue::Text(Secret::new("a")), HeaderValue::File("/etc/sluice/b".into())];
    assert_eq!(access.headers, [named("x-a", a), named("x-b", b)]);
    assert_eq!(compression, Compression::Gzip);
    let login = Some(ProxyLogin { username: "u".into(), password_file: "/etc/sluice/p".into() });
    assert_eq!(access.proxy, Some(Proxy { host: "[::1]".into(), port: 80, login }));
    assert_eq!(source_of(&source("lag: 15s").unwrap().0).compression, Compression::None);

    let text = "receivers: {proxy: {url: 'http://p:3128', noProxy: ['*.corp.Example', .svc, 10.0.0.0/8], resolve: proxy}}\n";
    let (config, said) = read(&format!("{LEAST}{text}")).unwrap();
    assert!(
        said.iter()
            .any(|line| line.to_string().contains("receivers.proxy.resolve: leaves it to the proxy alone")),
        "{said:?}"
    );
    let egress = config.egress.unwrap();
    let names = ["corp.example", "svc"].map(|name| Exception::Name(name.into()));
    assert_eq!(egress.except, [&names[..], &[Exception::Range("10.0.0.0/8".parse().unwrap())]].concat());
    assert_eq!((egress.names, egress.proxy.to_string()), (Names::Proxy, "http://p:3128".to_owned()));

    for (more, problem) in [
        ("headers: {Host: a}", "headers.Host: the protocol sets this header; remove it"),
        ("headers: {'a b': a}", "is not a header's name; use letters, digits and -"),
        (
            "headers: {X-A: \"ü\"}",
            "headers.X-A: the value has characters that no header may have; use printable ASCII",
        ),
        (
            "headers: {x-a: a, X-A: b}",
            "the header is given twice: upper and lower case are the same; keep one",
        ),
        (
            "bearerTokenFile: t, headers: {Authorization: b}",
            "headers.Authorization: bearerTokenFile or basicAuth sets this header; remove one of the two",
        ),
        ("proxy: {url: 'https://p'}", "proxy.url: \"https\" is not spoken to a proxy; write http://…"),
        ("proxy: {url: 'http://u:p@p'}", "proxy.url: holds credentials; write username and passwordFile"),
        ("proxy: {url: 'http://p/x'}", "proxy.url: \"http://p/x\" has a path; write it as http://host:port"),
        ("proxy: {url: p}", "proxy.url: \"p\" is not an address: "),
        (
            "proxy: {url: 'http://p', username: u}",
            "proxy.passwordFile: is missing beside username; write passwordFile: …",
        ),
        (
            "proxy: {url: 'http://p', passwordFile: u}",
            "proxy.username: is missing beside passwordFile; write username: …",
        ),
    ] {
        let error = source(more).unwrap_err().to_string();
        assert!(error.contains(problem), "{more}: {error}");
    }
    let error = read(&format!("{LEAST}receivers: {{proxy: {{url: 'http://p', noProxy: ['a/b']}}}}\n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("noProxy[0]: \"a/b\" is neither a name nor a range of addresses; write a name"),
        "{error}"
    );
    let block = "discovery: {kubernetes: [{name: a, kind: pod, headers: {X-A: a}}]}\ntenants: {folder: t}\nstate: {file: s}\n";
    let error = read(block).unwrap_err().to_string();
    assert!(error.contains("namespaces: are missing, so the credentials would go to whatever"), "{error}");
}

#[test]
fn every_field_of_discovery_is_read() {
    let (config, warnings) = read(
        "discovery:\n  sourceLabel: team\n  kubeconfig: kube\n  health: {interval: 10s, timeout: 2s, failures: 5, successes: 1}\n  kubernetes:\n  - {name: a, kind: service, namespaces: [x, y], labelSelector: 'app=prom,tier in (a, b)', annotationSelector: scrape=true, port: 9090, scheme: https, path: /prom, schemeAnnotation: s, pathAnnotation: p, labels: {cluster: c}, labelsFrom: {team: x.io/team}, replicaLabel: replica, keepAbsent: 10m, externalLabels: {r: a}, lag: 20s, timeout: 5s, maxSeries: 7, tls: {caFile: ca.pem, certFile: c.pem, keyFile: /k.pem, serverName: prom}, bearerTokenFile: token}\n  - {name: b, kind: pod, port: web}\nsources: [{name: s, url: 'https://x', labels: {team: web}, basicAuth: {username: u, passwordFile: p}}]\ntenants: {folder: t}\nstate: {file: s}\n",
    )
    .unwrap();
    assert_eq!(warnings.len(), 1, "block b has no namespaces: {warnings:?}");
    let Some([a, b]) = config.discovery.blocks.first_chunk() else { panic!() };
    assert_eq!(a.labels.to_string(), "app=prom,tier in (a,b)");
    assert_eq!((&a.port, &b.port), (&Some(Port::Number(9090)), &Some(Port::Name("web".into()))));
    let tls = a.access.tls.as_ref().unwrap();
    assert_eq!(tls.ca_file.as_deref(), Some(FilePath::new("/etc/sluice/ca.pem")));
    assert_eq!(tls.identity.as_ref().map(|i| i.key_file.as_path()), Some(FilePath::new("/k.pem")));
    assert_eq!(a.audience_label.as_deref(), Some("team"));
    assert_eq!(config.kubeconfig.as_deref(), Some(FilePath::new("/etc/sluice/kube")));
    assert_eq!(config.discovery.health.failures_max, 5);
    let source = &config.discovery.sources[0];
    assert_eq!(source.audience, Audience::Named("web".into()));
    assert_eq!(
        source.access.credentials,
        Some(Credentials::Basic { username: "u".into(), password_file: "/etc/sluice/p".into() })
    );
}

/// Each row: fields of a block, and the one thing that is to be said about it.
#[test]
fn mistakes_in_blocks_are_named_with_a_cure() {
    let rows = [
        ("port: 0", "port: 0 is not a port; write its name, such as web, or a number from 1 to 65535"),
        (
            "port: 'a b'",
            "port: \"a b\" is not a port; write its name, such as web, or a number from 1 to 65535",
        ),
        (
            "labelSelector: 'a b'",
            "labelSelector: \"a b\" in \"a b\" is not the name of a label or annotation; write it as app=prometheus,tier in (infra, edge),!canary",
        ),
        (
            "namespaces: []",
            "namespaces: there is none, so nothing is found; name at least one, or remove it for all",
        ),
        (
            "namespaces: [A]",
            "namespaces: \"A\" is not a namespace's name; use lower-case letters, digits and -",
        ),
        (
            "namespaces: null, bearerTokenFile: t",
            "namespaces: are missing, so the credentials would go to whatever carries the labels, in any namespace; write namespaces: [monitoring]",
        ),
        (
            "bearerTokenFile: t, basicAuth: {username: u, passwordFile: p}",
            "basicAuth: stands beside bearerTokenFile; keep one of the two: a request has one Authorization header",
        ),
        ("tls: {certFile: c}", "tls.keyFile: is missing beside certFile; write keyFile: …"),
        ("scheme: http, tls: {caFile: c}", "scheme: is http beside tls; write https, or remove tls"),
        (
            "path: prom",
            "path: \"prom\" is not a path; write the path below which /api/v1/query is, such as /prometheus",
        ),
        (
            "labelsFrom: {a-b: c}",
            "labelsFrom.a-b: \"a-b\" is not a label's name; write the source's label first: {team: app.kubernetes.io/part-of}",
        ),
        (
            "keepAbsent: 1m",
            "keepAbsent: \"1m\" may be over before a pod that moves is back; write \"15m\": a source that is forgotten starts anew, and what it missed is not asked for",
        ),
        (
            "tls: {insecureSkipVerify: true}",
            "tls.insecureSkipVerify: lets anyone answer in the server's place; write caFile, unless this is meant",
        ),
    ];
    for (fields, expected) in rows {
        let block = match fields.starts_with("namespaces") {
            true => BLOCK.replace(", namespaces: [mon]", ""),
            false => BLOCK.to_owned(),
        };
        let said = said(&discovering(&format!("{block}, {fields}}}")));
        let said: Vec<_> = said.iter().map(|line| line.replace("1: ", "").replace("warning: ", "")).collect();
        assert_eq!(said, [format!("discovery.kubernetes[0].{expected}")], "{fields}");
    }
    let twice = discovering(&format!("{BLOCK}}}, {BLOCK}}}"));
    assert_eq!(
        said(&twice),
        [
            "1: discovery.kubernetes[1].name: \"infra\" is the name of another block; give each block a name of its own: its sources' names begin with it"
        ]
    );
}

#[test]
fn a_source_that_no_resource_can_pick_is_mentioned() {
    let text = format!("{LEAST}discovery: {{sourceLabel: team}}\n");
    assert_eq!(
        said(&text),
        [
            "1: warning: sources[0].labels: lack team, which discovery.sourceLabel names, so no resource is served; write team: …, with the resources' source"
        ]
    );
}

#[test]
fn a_size_that_lacks_its_unit_is_mentioned() {
    let [warning] = &said(&format!("{LEAST}limits: {{maxMemory: 256}}\n"))[..] else { panic!() };
    let expected = "warning: limits.maxMemory: 256 bytes are no room for more than a few series; write 256Mi, if that is meant";
    assert!(warning.ends_with(expected), "{warning}");
    assert_eq!(said(&format!("{LEAST}limits: {{maxMemory: 256Mi}}\n")), [""; 0]);
}

#[test]
fn a_rule_replaces_the_fields_it_has() {
    let (config, _) = read(&format!(
        "{LEAST}limits: {{minInterval: 1s, maxPatterns: 7}}\nisolation: {{mode: enforced}}\ntargets: {{headers: [X-A]}}\ntenancy:\n  rules:\n  - namespaces: [infra-*]\n    limits: {{maxPatterns: 9, maxSeries: 5, maxBytesPerTick: 1Mi, maxMemory: 2Mi, maxEndpoints: 2}}\n    isolation: {{mode: optional}}\n    labels: {{protected: [a]}}\n    targets: {{types: [remote_write], requireHttps: true, headers: [X-Scope-OrgID]}}\n"
    ))
    .unwrap();
    let policy = config.tenants.policy();
    let (default, rule) = (&policy.default, policy.for_namespace("infra-1", &Default::default()));
    assert_eq!((default.patterns_max, rule.patterns_max), (7, 9));
    assert_eq!((default.interval_min, rule.interval_min), (Duration::from_secs(1), Duration::from_secs(1)));
    assert_eq!((rule.series_max, rule.tick_bytes_max, rule.endpoints_max), (5, 1 << 20, 2));
    assert_eq!((default.memory_max, rule.memory_max), (usize::MAX, 2 << 20));
    assert_eq!(default.isolation.mode, IsolationMode::Enforced);
    assert_eq!((rule.isolation.mode, rule.isolation.label.as_str()), (IsolationMode::Optional, "namespace"));
    assert_eq!((default.headers.contains("x-a"), rule.headers.contains("x-scope-orgid")), (true, true));
    assert!(!rule.headers.contains("x-a"), "a list replaces a list");
    assert_eq!(rule.protected, ["a".to_owned()].into());
    assert_eq!((default.targets.len(), rule.targets.len()), (3, 1));
}

#[test]
fn in_a_cluster_tenants_are_strangers_by_default() {
    let cluster =
        "sources: [{name: a, url: 'http://127.0.0.1:9090'}]\nkubernetes: {namespace: sluice, pod: p}\n";
    let (config, _) = read(cluster).unwrap();
    let default = &config.tenants.policy().default;
    assert_eq!(
        (default.isolation.mode, default.isolation.label.as_str()),
        (IsolationMode::Enforced, "namespace")
    );
    assert!(!default.may_send_to("b", "a"));
    let guard = crate::model::Guard::new(&config.receivers);
    assert!(guard.check("127.0.0.1".parse().unwrap()).is_err());
    assert_eq!(*default.receivers, guard);
    let chosen = format!("{cluster}isolation: {{mode: optional}}\nlimits: {{targetNamespaces: ['*']}}\n");
    let (config, _) = read(&chosen).unwrap();
    let default = &config.tenants.policy().default;
    assert_eq!(default.isolation.mode, IsolationMode::Optional);
    assert!(default.may_send_to("b", "a"));
    let (config, _) = read(LEAST).unwrap();
    assert!(crate::model::Guard::new(&config.receivers).check("127.0.0.1".parse().unwrap()).is_ok());
}

#[test]
fn who_runs_it_is_not_asked_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.yaml");
    std::fs::write(&file, "sources: [{name: a, url: 'http://127.0.0.1:9090'}]\nkubernetes: {}\n").unwrap();
    let (config, warnings) = Config::check(&file).unwrap();
    assert!(matches!(config.tenants, Tenants::Cluster(_)) && warnings.is_empty(), "{warnings:?}");
    let said = Config::load(&file).unwrap_err().to_string();
    let cure = "set POD_NAMESPACE by the downward API, or write namespace: sluice-system";
    assert!(said.contains(&format!("kubernetes.namespace: is not known; {cure}")), "{said}");
    assert!(!said.contains("state.file"), "{said}");
}
