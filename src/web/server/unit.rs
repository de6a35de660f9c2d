//! A unit of work: an endpoint runs to its end, whatever its client does (SP-3).
//!
//! A connection that its client drops takes the future of its requests along. One that is dropped
//! between BEGIN and COMMIT leaves half of its work: a claimed code without a grant, and a connection of
//! the pool within a transaction. So an endpoint runs in a task of its own. The client may get its
//! response earlier, or none; the slot of the lane and the space of the request are free when the task
//! has ended.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use poem::{Endpoint, IntoResponse as _, Request, Response};
use tokio::{sync::oneshot, time::timeout};

use super::{budget::RequestSpace, lane::Slot};
use crate::{error::InfraError, telemetry::trace::Span, web::caller::Caller};

/// The longest that a unit of work may take. Every statement and every call has a time-out of its own, so
/// that only a fault of ours takes as long; it must not hold its slot for ever.
const LONGEST: Duration = Duration::from_secs(120);

/// An endpoint with its request, and what both hold.
pub(super) struct Unit<E> {
    pub(super) endpoint: Arc<E>,
    pub(super) request: Request,
    pub(super) slot: Option<Slot>,
    pub(super) space: Option<Arc<RequestSpace>>,
}

/// There is no response of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoResponse {
    Panicked,
    /// Not yet: the unit of work goes on.
    TooLong,
}

/// What an endpoint returns.
pub(super) type EndpointResult = Result<poem::Result<Response>, NoResponse>;

impl<E: Endpoint + 'static> Unit<E> {
    /// Runs the endpoint in a task of its own. Dropping this future does not stop it, nor does the end of
    /// the time-out: what then goes wrong has its line in the log all the same.
    pub(super) async fn run(self, span: &Span, limit: Duration) -> EndpointResult {
        let (sender, result) = oneshot::channel();
        let caller = self.request.data::<Caller>().cloned();
        let work = async move {
            if let Err(unseen) = sender.send(self.work().await) {
                log_unseen(unseen, caller.as_ref());
            }
        };
        tokio::spawn(span.around(work));
        match timeout(limit, result).await {
            Ok(Ok(result)) => result,
            // The runtime stops.
            Ok(Err(_cancelled)) => Err(NoResponse::Panicked),
            Err(_elapsed) => Err(NoResponse::TooLong),
        }
    }

    /// Runs an endpoint that asks no store here: there is nothing that could be left half done.
    pub(super) async fn run_here(self, span: &Span, limit: Duration) -> EndpointResult {
        let work = Box::pin(span.around(self.work()));
        let result = timeout(limit, work).await;
        result.unwrap_or(Err(NoResponse::TooLong))
    }

    async fn work(self) -> EndpointResult {
        let Self {
            endpoint,
            request,
            slot,
            space,
        } = self;
        let caller = request.data::<Caller>();
        let request_id = caller.map(|caller| caller.request_id.clone());
        let call = AssertUnwindSafe(endpoint.call(request)).catch_unwind();
        let result = timeout(LONGEST, call).await;
        drop((slot, space));
        match result {
            Ok(Ok(result)) => Ok(result.map(|output| output.into_response())),
            Ok(Err(_panic)) => {
                tracing::error!(request_id, "a request ended in a panic");
                Err(NoResponse::Panicked)
            }
            Err(_elapsed) => {
                tracing::error!(request_id, "a request never ended, and was cut");
                Err(NoResponse::TooLong)
            }
        }
    }
}

/// Logs the error of a unit of work whose response no one gets.
fn log_unseen(result: EndpointResult, caller: Option<&Caller>) {
    let request_id = caller.map_or("", |caller| &caller.request_id);
    let Ok(Err(error)) = result else {
        return;
    };
    match error.downcast_ref::<InfraError>() {
        Some(error) => error.log(request_id),
        None if error.status().is_server_error() => {
            tracing::error!(request_id, cause = %error, "a request failed after its client was gone");
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use poem::{endpoint::make, http::StatusCode};
    use tokio::sync::Notify;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// An endpoint that waits in the middle of its work, and notes how far it came.
    struct Steps {
        reached: Mutex<Vec<&'static str>>,
        go_on: Notify,
        done: Notify,
    }

    impl Steps {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                reached: Mutex::default(),
                go_on: Notify::new(),
                done: Notify::new(),
            })
        }

        fn unit(self: &Arc<Self>) -> Unit<impl Endpoint + 'static> {
            let steps = Arc::clone(self);
            let endpoint = make(move |_| {
                let steps = Arc::clone(&steps);
                async move {
                    steps.reached.lock().unwrap().push("begin");
                    steps.go_on.notified().await;
                    steps.reached.lock().unwrap().push("commit");
                    steps.done.notify_one();
                    "response"
                }
            });
            Unit {
                endpoint: Arc::new(endpoint),
                request: Request::default(),
                slot: None,
                space: None,
            }
        }
    }

    #[tokio::test]
    async fn sp_3_a_dropped_client_does_not_stop_the_work() {
        let steps = Steps::new();
        let span = Span::of_request(None);
        let mut run = Box::pin(steps.unit().run(&span, LIMIT));
        assert!((&mut run).now_or_never().is_none());
        tokio::task::yield_now().await;
        drop(run);
        assert_eq!(*steps.reached.lock().unwrap(), ["begin"]);
        steps.go_on.notify_one();
        steps.done.notified().await;
        assert_eq!(*steps.reached.lock().unwrap(), ["begin", "commit"]);
    }

    #[tokio::test]
    async fn sp_3_a_time_out_answers_while_the_work_goes_on() {
        let steps = Steps::new();
        let span = Span::of_request(None);
        let result = steps.unit().run(&span, Duration::from_millis(10)).await;
        assert!(matches!(result, Err(NoResponse::TooLong)));
        steps.go_on.notify_one();
        steps.done.notified().await;
        assert_eq!(*steps.reached.lock().unwrap(), ["begin", "commit"]);
    }

    #[tokio::test]
    async fn a_panic_is_no_response() {
        let unit = |endpoint| Unit {
            endpoint: Arc::new(endpoint),
            request: Request::default(),
            slot: None,
            space: None,
        };
        let bug = make(|request: Request| async move {
            assert!(request.headers().contains_key("none"), "a bug");
            StatusCode::OK
        });
        let result = unit(bug).run(&Span::of_request(None), LIMIT).await;
        assert!(matches!(result, Err(NoResponse::Panicked)));
    }
}
