//! Databases on the PostgreSQL server that `BULRUSH_TEST_POSTGRES` names: a URL of its superuser.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

/// A database of a test's own, dropped at its end.
pub struct Postgres {
    pub name: String,
    pub url: String,
}

impl Postgres {
    pub async fn create() -> Self {
        Self::create_as("TEMPLATE template0").await
    }

    /// One that sorts texts as people do.
    pub async fn create_with_language() -> Self {
        Self::create_as("TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'").await
    }

    async fn create_as(how: &str) -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        let name = format!("bulrush_test_{:016x}", u64::from_le_bytes(bytes));
        let sql = format!("CREATE DATABASE {name} {how}");
        admin().await.execute(AssertSqlSafe(sql)).await.unwrap();
        let (base, query) = server();
        let url = format!("{}/{name}{query}", base.rsplit_once('/').unwrap().0);
        Self { name, url }
    }

    /// The URL with parameters of its own.
    pub fn url_with(&self, parameters: &str) -> String {
        format!("{}{}{parameters}", self.url, if self.url.contains('?') { '&' } else { '?' })
    }

    /// A connection past the store.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The runtime of the test may be one that ends, and cannot be waited for here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { admin().await.execute(AssertSqlSafe(sql)).await.map(drop) })
        });
        let dropped = dropping.join();
        if !std::thread::panicking() {
            dropped.unwrap().unwrap();
        }
    }
}

/// A connection to the server's own database.
pub async fn admin() -> PgConnection {
    let (base, query) = server();
    let options: PgConnectOptions = format!("{base}{query}").parse().unwrap();
    options.connect().await.unwrap()
}

/// The server's URL, and its parameters with their `?`.
pub fn server() -> (String, String) {
    let url = std::env::var("BULRUSH_TEST_POSTGRES")
        .expect("BULRUSH_TEST_POSTGRES names a PostgreSQL server for the tests; scripts/test starts one");
    match url.split_once('?') {
        Some((base, query)) => (base.to_owned(), format!("?{query}")),
        None => (url, String::new()),
    }
}
