//! Renewing stored tokens: one request for all who need it, nothing lost by a crash, a full disk or a wrong clock, and the
//! exact word where a token is lost.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;

use super::issuer::{Home, Issuer, Quirks, clock, fails, works};
use super::server::{CLIENT_SECRET, contacts, noon};
use super::token_store::sign_in;
use crate::auth::tokens::Claimed;
use crate::{
    AccessToken, Accounts, Client, ClientConfig, Clock, ExtractError, GaveUp, NoRenewal, RefreshGrant, RetryAdvice,
    SignIn, TokenKey,
};

#[tokio::test]
async fn a_renewed_token_is_stored_and_the_next_process_asks_for_none() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.sign_in()).await;
        works(&issuer.client(&home.accounts)).await;
        assert_eq!(home.stored().await, (2, "refresh-2".to_owned()));
        let client = issuer.client(&home.accounts);
        works(&client).await;
        assert_eq!((issuer.requests(), client.meter().sign_ins), (1, 0));
        let stored = home.accounts.record("a").await.unwrap().unwrap();
        assert_eq!(stored.lifetime, Some(Duration::from_hours(24)));
        assert!(stored.claims.is_empty());
        if home.store.is_some() {
            assert_eq!(home.objects().await, ["tokens/a/00000000000000000002.token"], "the old generation is gone");
        } else {
            assert!(stored.previous.is_none(), "the old token is gone");
        }
    }
}

#[tokio::test]
async fn a_good_token_is_used_as_it_is() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.good_for(Duration::from_hours(2))).await;
        works(&issuer.client(&home.accounts)).await;
        assert_eq!((issuer.requests(), home.stored().await.0), (0, 1));
    }
}

#[tokio::test]
async fn eight_clients_at_once_send_one_request() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.sign_in()).await;
        let clients: Vec<_> = (0..8).map(|_| issuer.client(&home.accounts)).collect();
        join_all(clients.iter().map(works)).await;
        assert_eq!((issuer.requests(), home.stored().await.0), (1, 2));
    }
}

#[tokio::test]
async fn eight_clients_that_are_refused_at_once_send_one_request() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        // The token seems good and is not: each finds out by a 401.
        let home = home.signed_in(issuer.good_for(Duration::from_hours(9))).await;
        issuer.state.current.store(2, SeqCst);
        let mut stored = issuer.good_for(Duration::from_hours(9));
        stored.refresh_token = Some("refresh-2".into());
        home.accounts.store(stored).await.unwrap();
        let clients: Vec<_> = (0..8).map(|_| issuer.client(&home.accounts)).collect();
        join_all(clients.iter().map(works)).await;
        assert_eq!((issuer.requests(), home.stored().await), (1, (3, "refresh-3".to_owned())));
    }
}

#[tokio::test]
async fn a_crash_after_the_claim_costs_nothing() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.sign_in()).await;
        drop(home.claimed().await);
        home.claims_are_over().await;
        works(&issuer.client(&home.accounts)).await;
        assert_eq!((issuer.requests(), home.stored().await), (1, (2, "refresh-2".to_owned())));
    }
}

#[tokio::test]
async fn a_crash_after_the_server_used_the_token_up_is_told_exactly_until_somebody_signs_in() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.sign_in()).await;
        let (_, claim) = home.claimed().await;
        // Sent, and perhaps received; the process died before it was stored.
        issuer.state.current.store(2, SeqCst);
        home.claims_are_over().await;
        for _ in 0..2 {
            let client = issuer.client(&home.accounts);
            let error = fails(&client).await;
            let ExtractError::LoginNeeded { unfinished, .. } = &error else { panic!("{error}") };
            assert_eq!(unfinished.iter().map(|claim| &claim.id).collect::<Vec<_>>(), [&claim.id]);
            let said = error.to_string();
            let sent = format!("it was sent by process {} on {}", std::process::id(), claim.host);
            assert!(said.contains(&sent) && said.contains("2026-01-31 12:00:00 UTC"), "{said}");
            assert_eq!((error.retry(), error.ends_run()), (RetryAdvice::AfterSignIn, true));
            let asked = issuer.requests();
            fails(&client).await;
            assert_eq!(issuer.requests(), asked, "one process asks once");
        }
        let client = issuer.client(&home.accounts);
        fails(&client).await;
        let mut again = issuer.good_for(Duration::from_hours(24));
        again.access_token = Some(AccessToken::new("access-2"));
        home.accounts.store(again).await.unwrap();
        works(&client).await;
    }
}

#[tokio::test]
async fn a_crash_after_the_new_token_was_stored_costs_nothing() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.sign_in()).await;
        let client = issuer.client(&home.accounts);
        // Renewed and stored, not used: no page was asked for.
        let (turn, _) = home.claimed().await;
        let mut record = turn.record.clone();
        record.sign_in = SignIn { generation: 2, ..issuer.good_for(Duration::from_hours(24)) };
        record.sign_in.access_token = Some(AccessToken::new("access-2"));
        record.sign_in.refresh_token = Some("refresh-2".into());
        issuer.state.current.store(2, SeqCst);
        assert!(home.accounts.save(&turn, &record).await.unwrap());
        drop(turn);
        works(&client).await;
        assert_eq!((issuer.requests(), home.stored().await), (0, (2, "refresh-2".to_owned())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_in_a_store_is_waited_for_and_taken_over_when_its_time_is_over() {
    let home = Home::store().signed_in(sign_in("a")).await;
    let start = tokio::time::Instant::now();
    let (_dead, first) = home.claimed().await;
    let (minute, clock) = (Duration::from_mins(1), clock());
    let early = home.accounts.claim("a", 1, false, minute, &clock).await.unwrap();
    assert!(matches!(early, Claimed::Busy), "{early:?}");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let (second, third) = tokio::join!(
        home.accounts.claim("a", 1, true, minute, &clock),
        home.accounts.claim("a", 1, true, minute, &clock),
    );
    let (Claimed::Mine(second), Claimed::Mine(third)) = (second.unwrap(), third.unwrap()) else { panic!("no turn") };
    // One waits for the dead one, the other for both: each holds for its response and 15 s more.
    let (second, third) = if second.unfinished().len() == 1 { (second, third) } else { (third, second) };
    assert_eq!(second.unfinished(), std::slice::from_ref(&first));
    assert_eq!(third.unfinished(), [first, second.claim.clone()]);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(15 + 75) && waited < Duration::from_secs(93), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_claim_takes_the_token_that_it_brought() {
    let home = Home::store().signed_in(sign_in("a")).await;
    let (turn, _) = home.claimed().await;
    let clock = clock();
    let (waiting, saved) = tokio::join!(home.accounts.claim("a", 1, true, Duration::ZERO, &clock), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut record = turn.record.clone();
        record.sign_in.generation = 2;
        home.accounts.save(&turn, &record).await.unwrap()
    });
    assert!(saved && matches!(waiting.unwrap(), Claimed::Newer));
    // Whoever was taken for dead and comes late finds that it is too late.
    let mut late = turn.record.clone();
    late.sign_in.generation = 2;
    assert!(!home.accounts.save(&turn, &late).await.unwrap());
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    for home in Home::both() {
        let issuer = Issuer::with(Quirks { lost: 2, grace: true, ..Quirks::default() }).await;
        let home = home.signed_in(issuer.sign_in()).await;
        issuer.set(|quirks| quirks.revokes = false);
        let client = issuer.client(&home.accounts);
        works(&client).await;
        assert_eq!((issuer.requests(), client.meter().sign_ins), (3, 3));
        assert_eq!(home.stored().await, (2, "refresh-2".to_owned()));
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_for_good_names_this_process() {
    for home in Home::both() {
        let issuer = Issuer::with(Quirks { lost: 1, ..Quirks::default() }).await;
        let home = home.signed_in(issuer.sign_in()).await;
        let error = fails(&issuer.client(&home.accounts)).await;
        assert!(error.to_string().contains(&format!("it was sent by process {} on", std::process::id())), "{error}");
        // The next process knows of it too.
        let error = fails(&issuer.client(&home.accounts)).await;
        let ExtractError::LoginNeeded { unfinished, .. } = &error else { panic!("{error}") };
        assert_eq!(unfinished.len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_token_that_ended_by_itself_is_no_ones_fault() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.sign_in()).await;
        issuer.state.current.store(9, SeqCst);
        for _ in 0..2 {
            let error = fails(&issuer.client(&home.accounts)).await;
            let ExtractError::LoginNeeded { unfinished, why, .. } = &error else { panic!("{error}") };
            assert!(unfinished.is_empty() && matches!(**why, NoRenewal::Refused(_)), "{error}");
        }
    }
}

#[tokio::test]
async fn troubles_of_the_token_endpoint_are_repeated_and_never_ask_for_a_person() {
    for home in Home::both() {
        let refusals = vec![(503, ""), (429, "throttled")];
        let issuer = Issuer::with(Quirks { refusals, ..Quirks::default() }).await;
        let home = home.signed_in(issuer.sign_in()).await;
        works(&issuer.client(&home.accounts)).await;
        assert_eq!(issuer.requests(), 3);
    }
    for home in Home::both() {
        for status in [500, 503, 429, 403, 418] {
            let issuer = Issuer::with(Quirks { refusals: vec![(status, ""); 3], ..Quirks::default() }).await;
            let home = Home { accounts: home.accounts.clone(), folder: None, store: None };
            let home = home.signed_in(issuer.sign_in()).await;
            let error = fails(&issuer.client(&home.accounts)).await;
            assert!(matches!(error, ExtractError::Transient { gave_up: GaveUp::Attempts(3), .. }), "{error}");
            assert_eq!(error.retry(), RetryAdvice::Later);
            // The next one need not wait for this one's claim.
            works(&issuer.client(&home.accounts)).await;
        }
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_not_there_is_transient_and_leaves_no_trace() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let nowhere = SignIn { token_url: "http://127.0.0.1:9/token".parse().unwrap(), ..issuer.sign_in() };
        let home = home.signed_in(nowhere).await;
        let error = fails(&issuer.client(&home.accounts)).await;
        assert!(matches!(error, ExtractError::Transient { .. }), "{error}");
        let (turn, _) = home.claimed().await;
        assert!(turn.unfinished().is_empty(), "nobody's answer is missing");
        if home.store.is_some() {
            assert_eq!(home.objects().await.len(), 2, "the token and the claim of just now");
        }
    }
}

#[tokio::test]
async fn a_wrong_client_secret_says_so_and_is_asked_once() {
    for home in Home::both() {
        let issuer = Issuer::with(Quirks { refusals: vec![(401, "invalid_client")], ..Quirks::default() }).await;
        let home = home.signed_in(issuer.sign_in()).await;
        let client = issuer.client(&home.accounts);
        for _ in 0..2 {
            let error = fails(&client).await;
            assert!(matches!(error, ExtractError::ClientRefused { .. }), "{error}");
            assert!(error.to_string().contains("its secret is not accepted (HTTP 401, invalid_client"), "{error}");
            assert_eq!(error.retry(), RetryAdvice::AfterSignIn);
        }
        assert_eq!(issuer.requests(), 1);
        // The token was not used up.
        works(&issuer.client(&home.accounts)).await;
    }
}

#[tokio::test]
async fn a_full_disk_while_storing_keeps_the_token_for_this_run_and_harms_nothing() {
    let issuer = Issuer::start().await;
    let home = Home::folder().signed_in(issuer.sign_in()).await;
    // Between the claim and the response the disk fills up.
    let in_the_way = home.file().with_file_name(".a.json.new");
    let made = in_the_way.clone();
    *issuer.state.sabotage.lock().unwrap() = Some(Box::new(move || _ = std::fs::create_dir(&made)));
    let client = issuer.client(&home.accounts);
    works(&client).await;
    works(&client).await;
    let error = client.settle().await.unwrap_err();
    assert!(error.to_string().contains("a.json"), "{error}");
    assert_eq!(error.retry(), RetryAdvice::Later);
    assert_eq!(client.refresh_token().await.unwrap().expose_secret(), "refresh-2");
    let old = home.accounts.record("a").await.unwrap().unwrap();
    assert_eq!((old.sign_in.generation, old.claims.len()), (1, 1), "the old file is complete and knows of the claim");
    let other = home.accounts.claim("a", 1, false, Duration::ZERO, &clock()).await.unwrap();
    assert!(matches!(other, Claimed::Busy), "nobody else may send the old token meanwhile");
    std::fs::remove_dir(&in_the_way).unwrap();
    works(&client).await;
    assert_eq!(home.stored().await, (2, "refresh-2".to_owned()), "the next request stores it");
    client.settle().await.unwrap();
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn a_claim_that_cannot_be_written_sends_nothing() {
    let issuer = Issuer::start().await;
    let home = Home::folder().signed_in(issuer.sign_in()).await;
    std::fs::create_dir(home.file().with_file_name(".a.json.new")).unwrap();
    let error = fails(&issuer.client(&home.accounts)).await;
    assert!(matches!(error, ExtractError::TokenStore { action: "write", .. }), "{error}");
    assert_eq!(issuer.requests(), 0);
}

#[tokio::test]
async fn in_its_last_hour_a_token_is_renewed_early_and_only_once() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.good_for(Duration::from_mins(59))).await;
        let client = issuer.client(&home.accounts);
        for _ in 0..5 {
            works(&client).await;
        }
        assert_eq!((issuer.requests(), home.stored().await.0), (1, 2));
        assert_eq!(issuer.state.seen.lock().unwrap().len(), 5, "no 401 was needed");
    }
}

#[tokio::test]
async fn an_early_renewal_that_fails_only_warns() {
    for home in Home::both() {
        for refusal in [(503, ""), (400, "invalid_grant"), (401, "invalid_client")] {
            let issuer = Issuer::with(Quirks { refusals: vec![refusal], ..Quirks::default() }).await;
            let home = Home { accounts: home.accounts.clone(), folder: None, store: None };
            let home = home.signed_in(issuer.good_for(Duration::from_mins(59))).await;
            let client = issuer.client(&home.accounts);
            for _ in 0..5 {
                works(&client).await;
            }
            assert_eq!(issuer.requests(), 1, "neither repeated nor tried again at once");
            assert_eq!(client.meter().retries, 0);
        }
    }
}

/// A clock that is this far off.
fn off(offset: chrono::TimeDelta) -> Clock {
    Clock::fixed(noon() + offset)
}

#[tokio::test]
async fn a_wrong_clock_makes_no_storm_of_renewals() {
    for offset in [chrono::TimeDelta::days(3), chrono::TimeDelta::days(-3), chrono::TimeDelta::hours(5)] {
        for home in Home::both() {
            let issuer = Issuer::start().await;
            issuer.set(|quirks| quirks.date = Some("Sat, 31 Jan 2026 12:00:00 GMT"));
            let home = home.signed_in(issuer.good_for(Duration::from_hours(20))).await;
            for _ in 0..5 {
                let clock = off(offset);
                let client = Client::new(ClientConfig { clock, ..issuer.config(&home.accounts) }).unwrap();
                for _ in 0..5 {
                    works(&client).await;
                }
            }
            assert!(issuer.requests() <= 1, "{} renewals, clock off by {offset}", issuer.requests());
            // A host whose clock is right agrees.
            works(&issuer.client(&home.accounts)).await;
            assert!(issuer.requests() <= 1, "{} renewals", issuer.requests());
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_set_while_a_client_runs_changes_nothing() {
    let issuer = Issuer::start().await;
    let home = Home::folder().signed_in(issuer.sign_in()).await;
    let time = Arc::new(Mutex::new(noon()));
    let told = Arc::clone(&time);
    let clock = Clock::from_fn(move || *told.lock().unwrap());
    let client = Client::new(ClientConfig { clock, ..issuer.config(&home.accounts) }).unwrap();
    works(&client).await;
    for days in [400, -400, 2, 0] {
        *time.lock().unwrap() = noon() + chrono::TimeDelta::days(days);
        works(&client).await;
    }
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_unknown_lifetime_is_used_until_it_is_refused() {
    let issuer = Issuer::with(Quirks { lifetime: "null", ..Quirks::default() }).await;
    let home = Home::store().signed_in(SignIn { expires_at: None, ..issuer.sign_in() }).await;
    let client = issuer.client(&home.accounts);
    works(&client).await;
    assert_eq!(issuer.requests(), 0);
    issuer.state.current.store(2, SeqCst);
    let other = SignIn { refresh_token: Some("refresh-2".into()), expires_at: None, ..issuer.sign_in() };
    home.accounts.store(other).await.unwrap();
    works(&client).await;
    assert_eq!((issuer.requests(), home.stored().await), (1, (3, "refresh-3".to_owned())));
}

#[tokio::test]
async fn what_another_process_renewed_is_picked_up() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let home = home.signed_in(issuer.good_for(Duration::from_hours(20))).await;
        let (one, other) = (issuer.client(&home.accounts), issuer.client(&home.accounts));
        works(&one).await;
        works(&other).await;
        // The first one's token is revoked: one of them renews it, the other reads what came.
        issuer.state.current.store(2, SeqCst);
        let revoked = SignIn { refresh_token: Some("refresh-2".into()), ..issuer.good_for(Duration::from_hours(20)) };
        home.accounts.store(revoked).await.unwrap();
        works(&one).await;
        works(&other).await;
        assert_eq!((issuer.requests(), other.meter().sign_ins), (1, 0));
    }
}

#[tokio::test]
async fn tokens_that_do_not_rotate_work_too() {
    for quirks in [
        Quirks { long_lived: true, lifetime: r#""1""#, ..Quirks::default() },
        Quirks { without_refresh_token: true, lifetime: "28800.0", ..Quirks::default() },
    ] {
        for home in Home::both() {
            let issuer = Issuer::with(quirks.clone()).await;
            let home = home.signed_in(issuer.sign_in()).await;
            works(&issuer.client(&home.accounts)).await;
            assert_eq!(home.stored().await, (2, "refresh-1".to_owned()));
        }
    }
}

#[tokio::test]
async fn the_token_before_is_tried_where_the_newest_never_worked() {
    let issuer = Issuer::start().await;
    let home = Home::folder().signed_in(issuer.sign_in()).await;
    let (turn, _) = home.claimed().await;
    let mut record = turn.record.clone();
    record.claims.clear();
    record.previous = record.sign_in.refresh_token.replace("refresh-7".into());
    record.sign_in.generation = 2;
    home.accounts.save(&turn, &record).await.unwrap();
    drop(turn);
    works(&issuer.client(&home.accounts)).await;
    assert_eq!((issuer.requests(), home.stored().await), (2, (3, "refresh-2".to_owned())));
}

#[tokio::test]
async fn who_is_not_signed_in_or_has_no_refresh_token_must_sign_in() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let error = fails(&issuer.client(&home.accounts)).await;
        assert!(matches!(error, ExtractError::NotSignedIn { .. }), "{error}");
        let home = home.signed_in(SignIn { refresh_token: None, ..issuer.sign_in() }).await;
        let error = fails(&issuer.client(&home.accounts)).await;
        let ExtractError::LoginNeeded { why, .. } = &error else { panic!("{error}") };
        assert_eq!(**why, NoRenewal::NoRefreshToken);
        assert_eq!(issuer.requests(), 0);
    }
}

#[tokio::test]
async fn a_crawl_that_is_dropped_does_not_drop_the_token_that_is_on_its_way() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let gate = Arc::new(Semaphore::new(0));
        *issuer.state.gate.lock().unwrap() = Some(Arc::clone(&gate));
        let home = home.signed_in(issuer.sign_in()).await;
        let client = issuer.client(&home.accounts);
        let mut crawl = contacts(&client);
        tokio::select! {
            _ = crawl.next() => panic!("no token could come"),
            () = async {
                while issuer.requests() == 0 {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        drop(crawl);
        gate.add_permits(1);
        client.settle().await.unwrap();
        assert_eq!(home.stored().await, (2, "refresh-2".to_owned()));
    }
}

#[tokio::test]
async fn a_configured_refresh_token_begins_an_account_once() {
    for home in Home::both() {
        let issuer = Issuer::start().await;
        let grant = |token: &str, secret: &str| RefreshGrant {
            token_url: issuer.token_url(),
            client_id: "the-api-key".to_owned(),
            client_secret: Some(secret.into()),
            refresh_token: token.into(),
        };
        let seed = async |token: &str, secret: &str| {
            home.accounts.seed("a", "default", &grant(token, secret), &clock()).await.unwrap();
            home.stored().await
        };
        assert_eq!(seed("refresh-1", CLIENT_SECRET).await, (1, "refresh-1".to_owned()));
        works(&issuer.client(&home.accounts)).await;
        assert_eq!(seed("refresh-1", CLIENT_SECRET).await, (2, "refresh-2".to_owned()), "its successor is kept");
        assert_eq!(seed("refresh-1", "another").await, (3, "refresh-2".to_owned()), "the secret alone is another");
        let read = home.accounts.read("a").await.unwrap().unwrap();
        assert_eq!(read.client_secret.unwrap().expose_secret(), "another");
        // Somebody signs in again: the old seed does not come back.
        home.accounts
            .store(SignIn { refresh_token: Some("refresh-8".into()), ..read_back(&home).await })
            .await
            .unwrap();
        assert_eq!(seed("refresh-1", "another").await, (4, "refresh-8".to_owned()));
        assert_eq!(
            seed("refresh-9", "another").await,
            (5, "refresh-9".to_owned()),
            "a new seed begins a new generation"
        );
    }
}

async fn read_back(home: &Home) -> SignIn {
    home.accounts.read("a").await.unwrap().unwrap()
}

#[tokio::test]
async fn objects_are_encrypted_and_bound_to_their_place() {
    let home = Home::store().signed_in(sign_in("a")).await.signed_in(sign_in("b")).await;
    let store = home.store.as_ref().unwrap();
    let [a, b] = &home.objects().await[..] else { panic!("two objects") };
    let sealed = store.get(&Path::from(a.as_str())).await.unwrap().bytes().await.unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"s3cr3t" || window == b"accoun"));
    assert_eq!(home.accounts.names().await.unwrap(), ["a", "b"]);
    // One account's tokens do not pass for another's.
    store.put(&Path::from(b.as_str()), sealed.into()).await.unwrap();
    let error = home.accounts.read("b").await.unwrap_err();
    assert!(matches!(error, ExtractError::TokenKey { .. }), "{error}");
    let other = Accounts::in_store(Arc::clone(store), Path::from("tokens"), TokenKey::generate());
    let error = other.read("a").await.unwrap_err();
    assert!(error.to_string().contains("account `a`"), "{error}");
    other.store(sign_in("a")).await.unwrap();
    assert_eq!(other.read("a").await.unwrap().unwrap().generation, 2);
    assert!(other.remove("a").await.unwrap() && !other.remove("a").await.unwrap());
    assert_eq!(other.names().await.unwrap(), ["b"]);
}

#[tokio::test]
async fn many_that_sign_in_to_a_store_at_once_each_make_a_generation() {
    let home = Home::store();
    join_all((0..20).map(|_| async { home.accounts.store(sign_in("a")).await.unwrap() })).await;
    assert_eq!(home.stored().await.0, 20);
}
