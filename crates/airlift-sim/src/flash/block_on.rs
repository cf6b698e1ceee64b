use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// Runs a future that never waits, such as the update engine over a simulated flash.
///
/// # Panics
///
/// When the future is pending: nothing here could ever wake it, so this is a mistake of the caller, who needs a real executor.
pub fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => {
            panic!("block_on: the future waits for something; run it on a real executor")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::block_on;

    #[test]
    fn a_future_that_never_waits_yields_its_output() {
        assert_eq!(block_on(async { core::future::ready(40).await + 2 }), 42);
    }

    #[test]
    #[should_panic(expected = "real executor")]
    fn a_future_that_waits_is_a_mistake_of_the_caller() {
        block_on(core::future::pending::<()>());
    }
}
