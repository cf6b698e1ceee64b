//! The local web page of a virtual device: what it runs and holds, and an update from an address. What the page of the TWO-STEP OTA demo does,
//! with a token, checks, and one update at a time.

mod answer;
mod desk;
mod order;
mod page;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub(super) use desk::Desk;

use crate::output;

/// How the page is served.
#[derive(Debug, Clone)]
pub(super) struct WebSettings {
    pub(super) address: SocketAddr,
    pub(super) token: Option<String>,
    /// `GET /ota?url=` starts an update, without a token.
    pub(super) compat_get: bool,
}

/// Who knows it may start updates. Only its digest is kept, so that comparing takes as long whatever is given, and however long it is.
struct Token([u8; 32]);

impl Token {
    fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.ct_eq(&given).into()
    }
}

impl WebSettings {
    /// Refuses a token that nobody could send, or that is guessed at once.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let good = |token: &String| {
            (8..=128).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.token.as_ref().is_some_and(|token| !good(token)) {
            bail!("a token for the web page has 8 to 128 visible ASCII characters");
        }
        Ok(())
    }

    /// Starts to serve, in threads of its own, and says where.
    pub(super) fn start(&self, desk: &Arc<Desk>, json: bool) -> anyhow::Result<Web> {
        let (token, made) = match &self.token {
            Some(token) => (token.clone(), false),
            None => (random_token()?, true),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start threads for the web page")?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(self.address))
            .with_context(|| format!("--web {}: cannot listen there", self.address))?;
        let address = listener
            .local_addr()
            .context("the web page has no address")?;
        let site = server::Site {
            desk: Arc::clone(desk),
            token: Token::new(&token),
            compat_get: self.compat_get,
        };
        runtime.spawn(server::serve(listener, Arc::new(site)));
        if json {
            let token = made.then_some(&token);
            let line = serde_json::json!({ "event": "web", "url": format!("http://{address}/"), "token": token });
            output::print(&format!("{line}\n"));
        } else {
            output::print(&format!("web       http://{address}/\n"));
            if made {
                output::print(&format!(
                    "token     {token}  (to start updates; made for this run)\n"
                ));
            }
        }
        if self.compat_get {
            eprintln!(
                "airlift: warning: GET /ota?url= starts updates without a token: any page in a browser on this network can do that"
            );
        }
        Ok(Web { _runtime: runtime })
    }
}

/// The page is served as long as this lives.
pub(super) struct Web {
    _runtime: tokio::runtime::Runtime,
}

fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("no random numbers for a token: {error}"))?;
    Ok(output::hex(&bytes))
}
