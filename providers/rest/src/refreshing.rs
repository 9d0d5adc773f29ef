//! Credentials that are refreshed once, however many requests need it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::Shared;
use larder_core::runtime::BoxFuture;
use larder_core::{Error, ErrorKind, Result, Sent};

use crate::credentials::{Credential, Credentials};

type Account = Option<Arc<str>>;
type Asked = Shared<BoxFuture<'static, Result<Credential, Arc<Error>>>>;

/// Keeps what a function gives until the server refuses it, and then asks the function again: once, however many requests
/// are refused at the same time, and to the end, even if all of them are given up meanwhile. A second use of a refresh
/// token may revoke it.
///
/// If the function says `Unauthorized`, or gives what was refused, it is not asked again before
/// [`renewed`](Self::renewed): the outbox waits. Any other error of it is that of the request, and the next one asks again.
///
/// ```
/// use larder_rest::{Credential, Refreshing, Rest};
///
/// let tokens = Refreshing::new(|account| async move {
///     // … exchange the refresh token of `account` for an access token …
///     Ok(Credential::bearer("fresh"))
/// });
/// let rest = Rest::at("https://api.example.com").credentials(tokens.clone());
/// // After somebody has signed in again:
/// tokens.renewed(None);
/// # drop(rest);
/// ```
#[derive(Clone)]
pub struct Refreshing {
    refresh: Arc<dyn Fn(Account) -> BoxFuture<'static, Result<Credential>> + Send + Sync>,
    /// What is not here is to be asked for.
    states: Arc<Mutex<BTreeMap<Account, State>>>,
}

enum State {
    Asking(Asked),
    Have(Credential),
    /// Nobody but the application can help.
    Refused,
}

impl Refreshing {
    /// Gets credentials from `refresh`, which is given the account.
    pub fn new<F, Fut>(refresh: F) -> Self
    where
        F: Fn(Account) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credential>> + Send + 'static,
    {
        Self { refresh: Arc::new(move |account| refresh(account).boxed()), states: Arc::default() }
    }

    /// Says that the function gives something else now for this account. Tell the repository as well:
    /// `repo.credentials_renewed()`.
    pub fn renewed(&self, account: Option<&str>) {
        self.states().remove(&account.map(Arc::from));
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Account, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the asking that is under way, or begins one. It goes on where it was left if all who waited are gone.
    fn ask(&self, states: &mut BTreeMap<Account, State>, account: &Account) -> Asked {
        if let Some(State::Asking(asked)) = states.get(account) {
            return asked.clone();
        }
        let asked = (self.refresh)(account.clone()).map(|asked| asked.map_err(Arc::new)).boxed().shared();
        states.insert(account.clone(), State::Asking(asked.clone()));
        asked
    }

    /// Waits for what is asked for, and keeps it; `refused` is what it must not be.
    async fn wait(&self, account: Account, asked: Asked, refused: Option<&Credential>) -> Result<Credential> {
        let answer = asked.clone().await;
        let mut states = self.states();
        let ours = |state: &State| matches!(state, State::Asking(other) if other.ptr_eq(&asked));
        let first = states.get(&account).is_some_and(ours);
        match answer {
            Ok(credential) if refused == Some(&credential) => {
                if first {
                    states.insert(account, State::Refused);
                }
                Err(unauthorized())
            }
            Ok(credential) => {
                if first {
                    states.insert(account, State::Have(credential.clone()));
                }
                Ok(credential)
            }
            Err(error) => {
                if first && error.kind() == ErrorKind::Unauthorized {
                    states.insert(account, State::Refused);
                } else if first {
                    states.remove(&account);
                }
                Err(error.duplicate().with_sent(Sent::Never))
            }
        }
    }
}

#[async_trait]
impl Credentials for Refreshing {
    async fn credential(&self, account: Account) -> Result<Credential> {
        let asked = {
            let mut states = self.states();
            match states.get(&account) {
                Some(State::Have(credential)) => return Ok(credential.clone()),
                Some(State::Refused) => return Err(unauthorized()),
                _ => self.ask(&mut states, &account),
            }
        };
        self.wait(account, asked, None).await
    }

    async fn renew(&self, account: Account, refused: &Credential) -> Result<bool> {
        let asked = {
            let mut states = self.states();
            match states.get(&account) {
                Some(State::Have(credential)) if credential != refused => return Ok(true),
                Some(State::Refused) => return Ok(false),
                _ => self.ask(&mut states, &account),
            }
        };
        self.wait(account, asked, Some(refused)).await.map(|_| true)
    }
}

fn unauthorized() -> Error {
    let what = "the server refuses the credentials and there are no others: sign in again, and tell `Refreshing::renewed`";
    Error::new(ErrorKind::Unauthorized, what)
}

impl fmt::Debug for Refreshing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refreshing(<redacted>)")
    }
}
