//! Answers that are long in coming: whoever waits for one is told so, and goes on waiting.
//!
//! Only what is to be answered at once counts: not the wait for an operation's end, and not the upload of a
//! file, which takes as long as it takes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;

use crate::body::RequestBody;
use crate::client::Client;

/// Who is told, and when.
#[derive(Clone)]
pub(crate) struct Patience {
    after: Duration,
    tell: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("after", &self.after).finish_non_exhaustive()
    }
}

impl Client {
    /// Has `tell` called for each request that is to be answered at once and has no answer `after` that
    /// time. It is waited for all the same.
    #[must_use]
    pub fn on_silence(mut self, after: Duration, tell: impl Fn() + Send + Sync + 'static) -> Self {
        self.patience = Some(Patience { after, tell: Arc::new(tell) });
        self
    }

    /// Waits for an answer, and tells when it is long in coming.
    pub(crate) async fn patiently<T>(&self, answer: impl Future<Output = T>) -> T {
        let Some(Patience { after, tell }) = &self.patience else { return answer.await };
        let mut answer = Box::pin(answer);
        match tokio::time::timeout(*after, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                tell();
                answer.await
            }
        }
    }
}

/// Whether a request may rightly be answered late.
pub(crate) fn takes_its_time(request: &Request<RequestBody>) -> bool {
    request.body().is_streamed() || waits_for_an_operation(request.uri().path())
}

fn waits_for_an_operation(path: &str) -> bool {
    path.starts_with("/1.0/operations/") && path.ends_with("/wait")
}
