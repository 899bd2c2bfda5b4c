//! `bulrush secrets`: the secrets of a deployment, each a file in one folder, made where nobody gives them. What a container platform runs
//! once before anything else (`init` in compose.yaml).

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bulrush_service::{KEY_BYTES_MIN, Problems, Secret};
use clap::Args;

/// Arguments of `secrets`.
#[derive(Debug, Args)]
pub struct SecretsArguments {
    /// Folder for the files: jwt_secret, seal_key, redis_password, postgres_password, and the URLs made of them. A file that is there is
    /// kept. Other containers' users read them, so the folder must be a volume that only these mount
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where Redis is, for engine_url
    #[arg(long, value_name = "HOST:PORT", default_value = "redis:6379")]
    redis_host: String,
    /// Where PostgreSQL is, for database_url
    #[arg(long, value_name = "HOST:PORT", default_value = "postgres:5432")]
    postgres_host: String,
    /// The secret that signs bearer tokens, in place of one made here
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    jwt_secret: Option<Secret>,
    /// The key that seals secrets in payloads
    #[arg(long, env = "BULRUSH_SEAL_KEY", hide_env_values = true, value_name = "SECRET")]
    seal_key: Option<Secret>,
    /// Redis's password
    #[arg(long, env = "REDIS_PASSWORD", hide_env_values = true, value_name = "SECRET")]
    redis_password: Option<Secret>,
    /// PostgreSQL's password
    #[arg(long, env = "POSTGRES_PASSWORD", hide_env_values = true, value_name = "SECRET")]
    postgres_password: Option<Secret>,
}

/// Makes what is missing.
pub fn run(arguments: &SecretsArguments) -> anyhow::Result<()> {
    fs::create_dir_all(&arguments.out)
        .with_context(|| format!("the folder {} cannot be made", arguments.out.display()))?;
    let mut problems = Problems::default();
    let mut secret = |variable: &str, file: &str, given: &Option<Secret>| {
        // A variable that is set to nothing is how compose passes on what nobody gave.
        let given = given.as_ref().filter(|secret| !secret.expose().is_empty());
        if let Some(given) = given
            && let Some(problem) = unusable(given.expose())
        {
            problems.push(variable, problem);
            return Ok(Secret::new(""));
        }
        settle(&arguments.out.join(file), given)
    };
    secret("JWT_SECRET", "jwt_secret", &arguments.jwt_secret)?;
    secret("BULRUSH_SEAL_KEY", "seal_key", &arguments.seal_key)?;
    let redis = secret("REDIS_PASSWORD", "redis_password", &arguments.redis_password)?;
    let postgres = secret("POSTGRES_PASSWORD", "postgres_password", &arguments.postgres_password)?;
    problems.finish()?;
    let engine = format!("redis://:{}@{}", redis.expose(), arguments.redis_host);
    let database = format!("postgres://bulrush:{}@{}/bulrush", postgres.expose(), arguments.postgres_host);
    write(&arguments.out.join("engine_url"), &engine)?;
    write(&arguments.out.join("database_url"), &database)?;
    println!("the secrets are in {}", arguments.out.display());
    Ok(())
}

/// What is wrong with a secret that somebody gave. All of them stand in URLs or are as long as keys must be, so one rule is for all.
fn unusable(text: &str) -> Option<String> {
    if text.len() < KEY_BYTES_MIN {
        return Some(format!(
            "has {} bytes and at least {KEY_BYTES_MIN} are needed; make one with: openssl rand -hex 32",
            text.len()
        ));
    }
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'));
    (!is_plain).then(|| {
        "has a character that would have to be written otherwise in a URL; use letters, digits, . _ ~ -"
            .to_owned()
    })
}

/// The secret in a file: what is given, or what is there, or a new one.
fn settle(path: &Path, given: Option<&Secret>) -> anyhow::Result<Secret> {
    let there = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    match (given, there) {
        (None, Some(text)) if text.len() >= KEY_BYTES_MIN => Ok(Secret::new(text)),
        (None, Some(_)) => bail!("{} holds no secret; remove it to get a new one", path.display()),
        (Some(given), there) => {
            if there.as_deref() != Some(given.expose()) {
                write(path, given.expose())?;
            }
            Ok(given.clone())
        }
        (None, None) => {
            let mut bytes = [0_u8; 32];
            getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
            let text = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            write(path, &text)?;
            Ok(Secret::new(text))
        }
    }
}

/// Puts a text into a file, whole or not at all, for every user of the containers that mount the folder.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside).with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o444)).with_context(failed)?;
    }
    fs::rename(&beside, path).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(out: &Path, jwt: Option<&str>) -> SecretsArguments {
        SecretsArguments {
            out: out.to_owned(),
            redis_host: "redis:6379".into(),
            postgres_host: "postgres:5432".into(),
            jwt_secret: jwt.map(Secret::new),
            seal_key: None,
            redis_password: Some(Secret::new("")),
            postgres_password: None,
        }
    }

    #[test]
    fn secrets_are_made_once_and_kept_unless_they_are_given() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
        run(&arguments(&out, None)).unwrap();
        let (jwt, redis, engine) = (read("jwt_secret"), read("redis_password"), read("engine_url"));
        assert_eq!((jwt.len(), &engine), (64, &format!("redis://:{redis}@redis:6379")));
        assert_ne!(jwt, read("seal_key"));
        assert!(read("database_url").contains(&read("postgres_password")));

        run(&arguments(&out, None)).unwrap();
        assert_eq!((read("jwt_secret"), read("engine_url")), (jwt, engine), "they are kept");
        let own = "o".repeat(40);
        run(&arguments(&out, Some(&own))).unwrap();
        assert_eq!((read("jwt_secret"), read("redis_password")), (own, redis));
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["changeme", &format!("canary@{}", "x".repeat(40))] {
            let error = run(&arguments(folder.path(), Some(bad))).unwrap_err().to_string();
            assert!(error.contains("JWT_SECRET") && !error.contains(bad), "{error}");
        }
        assert!(!folder.path().join("jwt_secret").exists());
        fs::write(folder.path().join("seal_key"), "").unwrap();
        let error = run(&arguments(folder.path(), None)).unwrap_err().to_string();
        assert!(error.contains("seal_key") && error.contains("remove it"), "{error}");
    }
}
