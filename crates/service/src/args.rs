//! Pieces of configuration for clap, each used by several binaries. Every option has a variable, and every secret a `_FILE` twin.

use std::path::PathBuf;

use bulrush_catalog::Catalog;
use bulrush_outbound::{DEFAULT_PORTS, Exception, OutboundPolicy};
use clap::{Args, ValueEnum};

use crate::{Problems, Sealing, Secret, TokenKeys, TokenOptions, TokenSources};

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub struct TelemetryArgs {
    /// What is logged: a level, or targets with levels (info,bulrush_api=debug).
    #[arg(long, env = "RUST_LOG", default_value = "info", global = true)]
    pub log: String,
    /// How it is logged; auto writes text on a terminal and JSON elsewhere.
    #[arg(long, env = "BULRUSH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, global = true)]
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the engine keeps its queues.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// The engine's store: redis://USER:PASSWORD@HOST:PORT/DB, rediss:// with TLS, unix:///PATH, file:PATH or memory:. It may
    /// hold a password and is never printed.
    #[arg(long = "engine", env = "BULRUSH_ENGINE", hide_env_values = true, value_name = "URL")]
    pub engine: Option<Secret>,
    /// File that holds the engine's URL.
    #[arg(long = "engine-file", env = "BULRUSH_ENGINE_FILE", value_name = "FILE")]
    pub engine_file: Option<PathBuf>,
}

impl EngineArgs {
    /// The engine's URL; that it is missing is noted like all else that is wrong with it.
    pub fn url(&self, problems: &mut Problems) -> Option<Secret> {
        if self.engine.is_none() && self.engine_file.is_none() {
            problems.push(
                "BULRUSH_ENGINE",
                "is missing; give it or its option, such as --engine redis://localhost:6379",
            );
        }
        Secret::resolve("BULRUSH_ENGINE", self.engine.as_ref(), self.engine_file.as_deref(), problems)
    }
}

/// Where the domain's data is.
#[derive(Debug, Clone, Args)]
pub struct StoreArgs {
    /// The database: postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH. It may hold a password and is never printed.
    #[arg(long = "database", env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database: Option<Secret>,
    /// File that holds the database's URL.
    #[arg(long = "database-file", env = "DATABASE_URL_FILE", value_name = "FILE")]
    pub database_file: Option<PathBuf>,
}

impl StoreArgs {
    /// The database's URL, if one is given.
    pub fn url(&self, problems: &mut Problems) -> Option<Secret> {
        Secret::resolve("DATABASE_URL", self.database.as_ref(), self.database_file.as_deref(), problems)
    }
}

/// How bearer tokens are signed and checked.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// Secret that signs bearer tokens (HS256), at least 32 bytes; never printed.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret: Option<Secret>,
    /// File that holds the secret.
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// File with the public keys of another issuer (a JWKS; EdDSA and RS256), whose tokens are accepted; read again when it changes.
    #[arg(long, env = "JWT_JWKS_FILE", value_name = "FILE")]
    pub jwt_jwks_file: Option<PathBuf>,
    /// Secret behind what the server signs for itself, at least 32 bytes, the same for all instances; the secret of the tokens where
    /// none is given. Never printed.
    #[arg(long = "secret", env = "BULRUSH_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub root_secret: Option<Secret>,
    /// File that holds that secret.
    #[arg(long = "secret-file", env = "BULRUSH_SECRET_FILE", value_name = "FILE")]
    pub root_secret_file: Option<PathBuf>,
    /// Issuer that a token must name.
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Audience that a token must name.
    #[arg(long, env = "JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// Accepted difference between two clocks, s, at most 60.
    #[arg(long, env = "JWT_LEEWAY", value_name = "SECONDS")]
    pub jwt_leeway: Option<u64>,
}

impl TokenArgs {
    /// The keys; `own` is the secret of a server that makes its own, used where none is given. Beside a JWKS file the own one signs
    /// what the server needs for itself, and no tokens: who names an issuer means that one.
    pub fn keys(&self, own: Option<Secret>, problems: &mut Problems) -> Option<TokenKeys> {
        let given = |name, value: &Option<Secret>, file: &Option<PathBuf>, problems: &mut Problems| {
            let is_given = value.is_some() || file.is_some();
            let secret = Secret::resolve(name, value.as_ref(), file.as_deref(), problems);
            // Given and not usable: that is noted, and nothing else may take its place.
            (!is_given || secret.is_some()).then_some(secret)
        };
        let secret = given("JWT_SECRET", &self.jwt_secret, &self.jwt_secret_file, problems);
        let root = given("BULRUSH_SECRET", &self.root_secret, &self.root_secret_file, problems);
        let (mut secret, mut root) = (secret?, root?);
        match &self.jwt_jwks_file {
            None => secret = secret.or(own),
            Some(_) if secret.is_none() => root = root.or(own),
            Some(_) => {}
        }
        let options = TokenOptions {
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            leeway_s: self.jwt_leeway,
        };
        let sources = TokenSources { secret, jwks_file: self.jwt_jwks_file.clone(), root };
        TokenKeys::from_sources(&sources, options).map_err(|error| problems.extend(error.problems)).ok()
    }
}

/// What may be called where users say what is called: pages of competitors, webhooks.
#[derive(Debug, Clone, Default, Args)]
pub struct OutboundArgs {
    /// What may be called although it is no address of the internet: HOST:PORT or a network such as 10.1.0.0/16, several parted by
    /// commas.
    #[arg(long, env = "BULRUSH_OUTBOUND_ALLOW", value_name = "HOST:PORT", value_delimiter = ',')]
    pub outbound_allow: Vec<String>,
    /// The ports that may be called, parted by commas, in place of 80, 443, 8080 and 8443.
    #[arg(long, env = "BULRUSH_OUTBOUND_PORTS", value_name = "PORT", value_delimiter = ',')]
    pub outbound_ports: Vec<String>,
}

impl OutboundArgs {
    /// The policy. What is wrong with it is noted, and left out of it.
    pub fn policy(&self, problems: &mut Problems) -> OutboundPolicy {
        // A variable that is set to nothing is one empty text.
        let given = |texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
        };
        let mut ports = Vec::new();
        for text in given(&self.outbound_ports) {
            match text.parse::<u16>() {
                Ok(port) if port > 0 => ports.push(port),
                _ => problems.push("BULRUSH_OUTBOUND_PORTS", format!("{text:?} is no port; give 1 to 65535")),
            }
        }
        if ports.is_empty() {
            ports = DEFAULT_PORTS.to_vec();
        }
        let allowed = given(&self.outbound_allow);
        let exceptions = allowed
            .iter()
            .filter_map(|text| problems.keep("BULRUSH_OUTBOUND_ALLOW", text.parse::<Exception>()));
        exceptions.fold(OutboundPolicy::default().with_ports(ports), OutboundPolicy::with_exception)
    }
}

/// How secrets in payloads are sealed.
#[derive(Debug, Clone, Args)]
pub struct SealArgs {
    /// Key that seals secrets in payloads, at least 32 bytes, the same for the API and the workers; never printed.
    #[arg(long, env = "BULRUSH_SEAL_KEY", hide_env_values = true, value_name = "SECRET")]
    pub seal_key: Option<Secret>,
    /// File that holds the key.
    #[arg(long, env = "BULRUSH_SEAL_KEY_FILE", value_name = "FILE")]
    pub seal_key_file: Option<PathBuf>,
}

impl SealArgs {
    /// The sealing, if there is a key; `own` as in [`TokenArgs::keys`]. Without one, payloads with secrets are refused.
    pub fn sealing(&self, own: Option<Secret>, problems: &mut Problems) -> Option<Sealing> {
        let key = if self.seal_key.is_none() && self.seal_key_file.is_none() {
            own
        } else {
            Secret::resolve(
                "BULRUSH_SEAL_KEY",
                self.seal_key.as_ref(),
                self.seal_key_file.as_deref(),
                problems,
            )
        }?;
        Sealing::new(&key).map_err(|error| problems.extend(error.problems)).ok()
    }
}

/// The catalogue with what `settings` (the environment, say) change in it; see [`bulrush_catalog::Overrides`].
pub fn catalog(
    settings: impl IntoIterator<Item = (String, String)>,
    problems: &mut Problems,
) -> Option<Catalog> {
    Catalog::with_settings(settings).map_err(|found| problems.extend(Problems::from(found))).ok()
}

/// The process's environment, for [`catalog`]; variables that are no text are none of its business.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        telemetry: TelemetryArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        tokens: TokenArgs,
        #[command(flatten)]
        seal: SealArgs,
        #[command(flatten)]
        outbound: OutboundArgs,
    }

    #[test]
    fn what_may_be_called_is_the_internet_and_what_is_named() {
        let policy = |options: &[&str]| {
            let mut problems = Problems::default();
            let all = All::try_parse_from([&["x"], options].concat()).unwrap();
            let policy = all.outbound.policy(&mut problems);
            (policy, problems.finish().err().map_or(0, |error| error.problems.len()))
        };
        assert_eq!(policy(&[]), (OutboundPolicy::default(), 0));
        assert_eq!(policy(&["--outbound-allow", "", "--outbound-ports", ""]), (OutboundPolicy::default(), 0));
        let (given, wrong) =
            policy(&["--outbound-allow", "127.0.0.1:8090, 10.1.0.0/16", "--outbound-ports", "443,80"]);
        assert_eq!((given.ports(), given.exceptions().len(), wrong), (&[80, 443][..], 2, 0));
        let (left, wrong) = policy(&["--outbound-allow", "*,localhost:1", "--outbound-ports", "0,x"]);
        assert_eq!((left.exceptions().len(), left.ports(), wrong), (1, DEFAULT_PORTS, 3));
    }

    #[test]
    fn the_pieces_fit_together_and_their_secrets_are_not_printed() {
        let all = All::try_parse_from([
            "x",
            "--engine",
            "redis://:canary-1@h",
            "--database",
            "sqlite:canary-2",
            "--jwt-secret",
            "canary-3",
            "--seal-key",
            "canary-4",
            "--log",
            "debug",
            "--log-format",
            "json",
        ])
        .unwrap();
        assert!(!format!("{all:?}").contains("canary"), "{all:?}");
        assert_eq!((all.telemetry.log.as_str(), all.telemetry.log_format), ("debug", LogFormat::Json));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let all =
            All::try_parse_from(["x", "--jwt-secret", "short", "--jwt-leeway", "90", "--seal-key", "tiny"])
                .unwrap();
        let mut problems = Problems::default();
        assert!(all.tokens.keys(None, &mut problems).is_none());
        assert!(all.seal.sealing(None, &mut problems).is_none());
        assert!(
            catalog([("BULRUSH_QUEUE_SYNC_ATTEMPTS".to_owned(), "0".to_owned())], &mut problems).is_none()
        );
        let error = problems.finish().unwrap_err();
        assert_eq!(error.problems.len(), 4, "{error}");
        assert!(!error.to_string().contains("tiny"));
    }

    #[test]
    fn with_the_keys_of_an_issuer_no_secret_signs_tokens_unless_it_is_given_for_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        let key = r#"{"kty": "OKP", "crv": "Ed25519", "x": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
        std::fs::write(&path, format!("{{\"keys\": [{key}]}}")).unwrap();
        let secret = "0123456789abcdef0123456789abcdef";
        let keys = |more: &[&str], own: Option<&str>| {
            let arguments =
                ["x", "--jwt-jwks-file", path.to_str().unwrap()].into_iter().chain(more.iter().copied());
            let mut problems = Problems::default();
            let keys =
                All::try_parse_from(arguments).unwrap().tokens.keys(own.map(Secret::new), &mut problems);
            (keys, problems.finish().err().map(|error| error.to_string()).unwrap_or_default())
        };
        let (none, said) = keys(&[], None);
        assert!(none.is_none() && said.contains("BULRUSH_SECRET: is missing"), "{said}");
        let (root_only, said) = keys(&["--secret", secret], None);
        assert!(!root_only.unwrap().can_mint(), "{said}");
        let (own, said) = keys(&[], Some(secret));
        assert!(!own.unwrap().can_mint(), "{said}");
        let (both, said) = keys(&["--jwt-secret", secret], Some("another-0123456789abcdef01234567"));
        assert!(both.unwrap().can_mint(), "{said}");
        let (short, said) = keys(&["--secret", "short"], Some(secret));
        assert!(short.is_none() && said.contains("BULRUSH_SECRET") && !said.contains("short"), "{said}");
        let (twice, said) = keys(&["--secret", secret, "--secret-file", "/absent"], Some(secret));
        assert!(twice.is_none() && said.contains("given twice"), "{said}");
    }

    #[test]
    fn a_missing_secret_is_asked_for_unless_the_server_has_its_own() {
        let all = All::try_parse_from(["x"]).unwrap();
        let mut problems = Problems::default();
        assert!(all.tokens.keys(None, &mut problems).is_none());
        let own = Secret::new("0123456789abcdef0123456789abcdef");
        assert!(all.tokens.keys(Some(own), &mut problems).is_some());
        assert!(all.seal.sealing(None, &mut problems).is_none(), "and that is no problem");
        assert_eq!(problems.finish().unwrap_err().problems.len(), 1);
    }
}
