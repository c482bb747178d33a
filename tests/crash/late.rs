//! A run waits for the store at each of its mutations in turn while another run comes and goes. When the store has answered, it
//! harms nothing.

use std::pin::pin;

use ctct_pipeline::Outcome;
use ctct_testkit::{Fault, Hold, Spot};
use futures::future::join;

use crate::account::{Account, Keys, MERGE, REPLACE};
use crate::draws::Draws;
use crate::place::{Kind, Place};

async fn wakes_up_late(kind: Kind, keys: Keys) {
    let months = [Account::in_month(0).await, Account::in_month(1).await, Account::in_month(2).await];
    let [first, second, third] = &months;
    let before = Place::new(kind);
    assert_eq!(first.run(&before.destination(), keys, "first").await.outcome, Outcome::Done);
    let truth = third.truth();
    // Every third, from another one each time: all of them take a minute.
    let begin = Draws::new(&format!("wakes up late, {kind:?}")).number(3);
    for number in (begin..).step_by(3) {
        let place = before.copy().await;
        let (destination, store) = place.failing();
        let hold = Hold::new();
        store.script(Spot::nth(number), Fault::Hold(hold.clone()));
        let mut late = pin!(second.run(&destination, keys, "late"));
        tokio::select! {
            () = hold.reached() => {}
            done = &mut late => {
                assert_eq!((done.outcome, store.met()), (Outcome::Done, 0));
                println!("{kind:?}: stood still at {number} mutations");
                return;
            }
        }
        let when = format!("{kind:?}, stood still at {number}, {}", store.mutations().last().unwrap());
        // Whatever else the late run has under way goes on.
        let (summary, other) = join(late, async {
            let other = third.run(&place.destination(), keys, "other").await;
            hold.release();
            other
        })
        .await;
        assert!([Outcome::Done, Outcome::Held].contains(&other.outcome), "{when}: {other:#?}");
        // Its clock is of the month before: where the other run has committed first, the watermark lies ahead of it.
        let ends = [Outcome::Done, Outcome::Held, Outcome::Damaged];
        assert!(ends.contains(&summary.outcome), "{when}: {summary:#?}");
        store.settled().await;
        place.stored().await.holds_no_row_twice(keys, &when);
        let summary = third.run(&place.destination(), keys, "last").await;
        assert_eq!(summary.outcome, Outcome::Done, "{when}: {summary:#?}");
        place.stored().await.is_true(&truth, keys, &when);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merging_run_that_wakes_up_late() {
    wakes_up_late(Kind::Memory, MERGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_run_that_wakes_up_late() {
    wakes_up_late(Kind::Folder, REPLACE).await;
}
