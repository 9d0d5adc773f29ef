//! What is under way: calls, each of which ends in an event.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use larder_core::runtime::BoxFuture;

use crate::engine::Event;

/// Calls under way. One that has nothing beside it is polled without more ado: whoever polls all that a
/// `FuturesUnordered` holds is woken by it at once, for nothing, and tokio wakes another thread for that.
#[derive(Default)]
pub(super) struct Work {
    only: Option<BoxFuture<'static, Event>>,
    others: FuturesUnordered<BoxFuture<'static, Event>>,
}

impl Work {
    pub(super) fn push(&mut self, call: BoxFuture<'static, Event>) {
        if self.is_empty() {
            self.only = Some(call);
        } else {
            self.others.push(call);
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.only.is_some()) + self.others.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What comes of the call that ends first; `None` if nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(call) = &mut self.only
            && let Poll::Ready(event) = call.as_mut().poll(cx)
        {
            self.only = None;
            return Poll::Ready(Some(event));
        }
        match self.others.poll_next_unpin(cx) {
            Poll::Ready(None) if self.only.is_some() => Poll::Pending,
            next => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A call that ends when it is told to.
    fn call(work: &mut Work, seq: u64) -> oneshot::Sender<()> {
        let (end, ended) = oneshot::channel();
        work.push(Box::pin(async move {
            let _ = ended.await;
            Event::Kept(seq)
        }));
        end
    }

    fn next(work: &mut Work, woken: &Arc<Woken>) -> Poll<Option<u64>> {
        let waker = Waker::from(Arc::clone(woken));
        work.poll_next(&mut Context::from_waker(&waker)).map(|event| {
            event.map(|event| match event {
                Event::Kept(seq) => seq,
                other => panic!("{other:?}"),
            })
        })
    }

    #[test]
    fn nobody_is_woken_before_the_only_call_has_ended() {
        let (mut work, woken) = (Work::default(), Arc::<Woken>::default());
        assert_eq!(next(&mut work, &woken), Poll::Ready(None));
        for seq in 0..3 {
            let end = call(&mut work, seq);
            assert_eq!(next(&mut work, &woken), Poll::Pending);
            assert_eq!(woken.0.load(Ordering::SeqCst), seq as usize);
            end.send(()).unwrap();
            assert_eq!(woken.0.load(Ordering::SeqCst), seq as usize + 1);
            assert_eq!(next(&mut work, &woken), Poll::Ready(Some(seq)));
            assert!(work.is_empty());
        }
    }

    #[test]
    fn each_call_is_heard_of_whichever_ends_first() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (mut work, woken) = (Work::default(), Arc::<Woken>::default());
            let mut ends: Vec<_> = (0..3).map(|seq| Some(call(&mut work, seq))).collect();
            for seq in order {
                assert_eq!(next(&mut work, &woken), Poll::Pending);
                assert!(!work.is_empty());
                ends[seq as usize].take().unwrap().send(()).unwrap();
                assert_eq!(next(&mut work, &woken), Poll::Ready(Some(seq)));
            }
            assert!(work.is_empty());
            assert_eq!(next(&mut work, &woken), Poll::Ready(None));
        }
    }
}
