//! What opens a registry: its challenge, the user's login, a token.
//!
//! Nothing is sent before the registry asks. Whatever it gets then goes to it, or to the place that
//! it names for tokens, and nowhere else.

use super::hosts::{Way, is_near};
use super::http::{Clients, Request, body, refusal};
use super::login::Logins;
use super::trouble::{Sort, Trouble};
use base64::Engine;
use oci_distribution::secrets::RegistryAuth;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Url};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A token with what comes along, in bytes.
const TOKEN_BYTES: usize = 256 << 10;

/// What a host lets us in with. Made once for all who need it at the same time.
#[derive(Default)]
pub(super) struct Auth {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    login: Option<RegistryAuth>,
    pass: Pass,
}

/// What goes into a request's header; numbered, so that a newer one can be told.
#[derive(Clone, Default)]
pub(super) struct Pass {
    pub(super) header: Option<HeaderValue>,
    number: u64,
}

enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Auth {
    pub(super) async fn pass(&self) -> Pass {
        self.state.lock().await.pass.clone()
    }

    /// A pass in place of the one that was refused. Whoever comes while it is fetched gets the same.
    pub(super) async fn renew(
        &self,
        used: &Pass,
        asked: &HeaderMap,
        clients: &Clients,
        way: Way,
        logins: &Arc<Logins>,
    ) -> Result<Pass, Trouble> {
        let mut state = self.state.lock().await;
        if state.pass.number != used.number {
            return Ok(state.pass.clone());
        }
        let challenge = challenge(asked)?;
        let login = match &state.login {
            Some(login) => login.clone(),
            None => {
                let (logins, name) = (logins.clone(), clients.host.name.clone());
                let repository = clients.host.repository.clone();
                let found = tokio::task::spawn_blocking(move || logins.find(&name, &repository)).await;
                let found = found.map_err(|_| Trouble::new(Sort::Final, "has a login that cannot be looked up"))?;
                state.login.insert(found.map_err(Trouble::ours)?).clone()
            }
        };
        let mut header = match challenge {
            Challenge::Basic => match login {
                RegistryAuth::Basic(user, password) => basic(&user, &password)?,
                _ => return Err(denied()),
            },
            Challenge::Bearer { realm, service, scope } => {
                let scope = scope.filter(|scope| only_pulls(scope));
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", clients.host.repository));
                let token = token(clients, way, &realm, service.as_deref(), &scope, &login).await?;
                header(&format!("Bearer {token}"))?
            }
        };
        header.set_sensitive(true);
        state.pass = Pass { header: Some(header), number: used.number + 1 };
        Ok(state.pass.clone())
    }
}

fn denied() -> Trouble {
    Trouble::new(Sort::Denied, "does not let us have it (it may also not exist)")
}

fn header(text: &str) -> Result<HeaderValue, Trouble> {
    HeaderValue::from_str(text).map_err(|_| Trouble::new(Sort::Final, "takes a login that no header can hold"))
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, Trouble> {
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut made = header(&format!("Basic {both}"))?;
    made.set_sensitive(true);
    Ok(made)
}

/// The challenge that we can meet, a token before a password.
fn challenge(asked: &HeaderMap) -> Result<Challenge, Trouble> {
    let mut found = None;
    for value in asked.get_all(WWW_AUTHENTICATE) {
        let parsed = value.to_str().ok().and_then(|text| http_auth::parse_challenges(text).ok());
        for challenge in parsed.unwrap_or_default() {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                return Ok(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") });
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                found = Some(Challenge::Basic);
            }
        }
    }
    found.ok_or_else(denied)
}

/// Whether a scope asks for what a pull needs and for nothing else.
fn only_pulls(scope: &str) -> bool {
    let pull = |part: &str| part.starts_with("repository:") && part.rsplit(':').next() == Some("pull");
    !scope.is_empty() && scope.split(' ').all(pull)
}

/// Where tokens are to be had, if that is a place for what we would send there.
fn realm(clients: &Clients, way: Way, text: &str, secret: bool) -> Result<Url, Trouble> {
    let refused = |what: &str| Trouble::new(Sort::Final, format!("names a place for tokens that {what}"));
    let mut url = Url::parse(text).map_err(|_| refused("is no web address"))?;
    let _ = (url.set_username(""), url.set_password(None));
    clients.permit(&url)?;
    if url.scheme() == "http" {
        let local = is_near(url.host_str().unwrap_or_default().trim_matches(['[', ']']));
        if way != Way::Http || (secret && !local && !clients.host.insecure) {
            return Err(refused("has no encryption"));
        }
    }
    Ok(url)
}

async fn token(
    clients: &Clients,
    way: Way,
    place: &str,
    service: Option<&str>,
    scope: &str,
    login: &RegistryAuth,
) -> Result<String, Trouble> {
    let mut url = realm(clients, way, place, *login != RegistryAuth::Anonymous)?;
    let mut fields: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
    fields.push(("scope", scope));
    let mut request = Request::get(url.clone());
    match login {
        RegistryAuth::Bearer(identity) => {
            fields.extend([("grant_type", "refresh_token"), ("client_id", "aido"), ("refresh_token", identity)]);
            url.set_query(None);
            url.query_pairs_mut().extend_pairs(fields);
            request.form = url.query().map(str::to_owned);
            request.method = Method::POST;
        }
        RegistryAuth::Basic(user, password) => {
            fields.push(("account", user));
            request.secret = Some(basic(user, password)?);
            request.url.query_pairs_mut().extend_pairs(fields);
        }
        RegistryAuth::Anonymous => drop(request.url.query_pairs_mut().extend_pairs(fields)),
    }
    let response = clients.send(way, &request).await?;
    if !response.status().is_success() {
        let trouble = refusal(response).await;
        return Err(match trouble.sort {
            Sort::Passing(_) => trouble,
            // A token server answers 400 to a login that it does not know.
            _ => denied(),
        });
    }
    let bytes = body(response, TOKEN_BYTES).await?;
    let token = serde_json::from_slice::<Token>(&bytes).ok().and_then(|token| token.token.or(token.access_token));
    token.filter(|token| !token.is_empty()).ok_or_else(|| Trouble::new(Sort::Final, "gave no token where it names one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let both =
            asked(&["Basic realm=\"x\"", "Bearer realm=\"https://t/x\",service=\"s\",scope=\"repository:a:pull\""]);
        let Challenge::Bearer { realm, service, scope } = challenge(&both).ok().unwrap() else { panic!("basic") };
        assert_eq!(
            (&realm[..], service.as_deref(), scope.as_deref()),
            ("https://t/x", Some("s"), Some("repository:a:pull"))
        );
        assert!(matches!(challenge(&asked(&["BASIC realm=x"])), Ok(Challenge::Basic)));
        for none in [&[][..], &["Digest realm=\"x\""], &["Bearer service=\"x\""], &["\"\""]] {
            assert_eq!(challenge(&asked(none)).err().unwrap().sort, Sort::Denied, "{none:?}");
        }
    }

    #[test]
    fn a_registry_cannot_ask_for_more_than_a_pull() {
        assert!(only_pulls("repository:a/b:pull") && only_pulls("repository:a:pull repository:host:5/b:pull"));
        for scope in ["", "repository:a:pull,push", "registry:catalog:*", "repository:a:pull repository:b:delete"] {
            assert!(!only_pulls(scope), "{scope}");
        }
    }
}
