//! Device codes: a device shows a short code, a person types it in elsewhere, and the device asks until it was allowed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{Grants, Issued, after, opaque};
use crate::config::Quirks;
use crate::user::User;

/// How much longer a device that polls too fast must wait from then on (RFC 8628, section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// A device that waits.
pub(crate) struct Device {
    user_code: String,
    scopes: Vec<String>,
    end: DateTime<Utc>,
    interval: Duration,
    polled: Option<Instant>,
    decision: Option<Decision>,
}

#[derive(Debug, Clone, Copy)]
enum Decision {
    Allowed(User),
    Denied,
}

/// Why a device has no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotYet {
    /// Nobody has decided.
    Pending,
    /// It asks too often.
    SlowDown,
    /// Nobody decided in time.
    Expired,
    /// The person said no.
    Denied,
    /// There is no such code, or it was used.
    Unknown,
}

impl Grants {
    /// A device code and the code to type in.
    pub(crate) fn device(&mut self, scopes: Vec<String>, quirks: &Quirks, now: DateTime<Utc>) -> (String, String) {
        let device_code = opaque(&mut self.draws, 43);
        // Without vowels, so that no word comes of it, and without letters that look like digits.
        let alphabet: Vec<char> = "BCDFGHJKLMNPQRSTVWXZ".chars().collect();
        let user_code: String = (0..8).map(|_| self.draws.pick(&alphabet)).collect();
        let device = Device {
            user_code: user_code.clone(),
            scopes,
            end: after(now, quirks.device_code_lifetime),
            interval: Duration::from_secs(quirks.device_interval.as_secs()),
            polled: None,
            decision: None,
        };
        self.devices.insert(device_code.clone(), device);
        (device_code, user_code)
    }

    /// A person decides about a code: `user` allows it; without one it is denied. `false` if it does not wait for a decision.
    pub(crate) fn decide(&mut self, user_code: &str, user: Option<User>, now: DateTime<Utc>) -> bool {
        let typed: String =
            user_code.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase()).collect();
        let waits = |device: &&mut Device| device.user_code == typed && device.decision.is_none() && now < device.end;
        let Some(device) = self.devices.values_mut().find(waits) else { return false };
        device.decision = Some(user.map_or(Decision::Denied, Decision::Allowed));
        true
    }

    /// A device asks for its tokens. `instant` paces it, `now` ends it.
    pub(crate) fn poll(
        &mut self,
        device_code: &str,
        quirks: &Quirks,
        instant: Instant,
        now: DateTime<Utc>,
    ) -> Result<Issued, NotYet> {
        let device = self.devices.get_mut(device_code).ok_or(NotYet::Unknown)?;
        if now >= device.end {
            return Err(NotYet::Expired);
        }
        let last = device.polled.replace(instant);
        if last.is_some_and(|last| instant.saturating_duration_since(last) < device.interval) {
            device.interval += SLOWER;
            return Err(NotYet::SlowDown);
        }
        match device.decision.ok_or(NotYet::Pending)? {
            Decision::Denied => Err(NotYet::Denied),
            Decision::Allowed(user) => {
                let scopes = std::mem::take(&mut device.scopes);
                self.devices.remove(device_code);
                self.sign_in(user, scopes, quirks, now).ok_or(NotYet::Unknown)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(quirks: &Quirks) -> (Grants, DateTime<Utc>, Instant) {
        let now = DateTime::UNIX_EPOCH;
        (Grants::new(7, 2, quirks, now), now, Instant::now())
    }

    #[test]
    fn a_device_that_polls_too_fast_must_wait_longer_from_then_on() {
        let quirks = Quirks::default();
        let (mut grants, now, first) = start(&quirks);
        let (device_code, _) = grants.device(Vec::new(), &quirks, now);
        let mut poll = |seconds| {
            grants.poll(&device_code, &quirks, first + Duration::from_secs_f64(seconds), now).map(|_| ()).unwrap_err()
        };
        assert_eq!(poll(0.0), NotYet::Pending);
        assert_eq!(poll(5.0), NotYet::Pending);
        assert_eq!(poll(9.9), NotYet::SlowDown);
        assert_eq!(poll(19.8), NotYet::SlowDown, "ten seconds are asked for now");
        assert_eq!(poll(34.8), NotYet::Pending, "and then fifteen");
    }

    #[test]
    fn a_decision_is_made_once_and_in_time() {
        let quirks = Quirks { device_interval: Duration::ZERO, ..Quirks::default() };
        let (mut grants, now, instant) = start(&quirks);
        let (device_code, user_code) = grants.device(vec!["account_read".to_owned()], &quirks, now);
        assert!(!grants.decide("BBBBBBBB", Some(User(1)), now));
        let typed = format!("{}-{}", user_code[..4].to_lowercase(), &user_code[4..]);
        assert!(grants.decide(&typed, Some(User(1)), now), "case and dashes are forgiven");
        assert!(!grants.decide(&user_code, None, now), "what was decided stays");
        let issued = grants.poll(&device_code, &quirks, instant, now).ok().unwrap();
        assert_eq!((issued.scope.as_str(), issued.refresh_token), ("account_read", None));
        assert_eq!(grants.holder(&issued.access_token, now).unwrap().user, User(1));
        assert_eq!(grants.poll(&device_code, &quirks, instant, now).err(), Some(NotYet::Unknown));

        let (device_code, user_code) = grants.device(Vec::new(), &quirks, now);
        let late = now + quirks.device_code_lifetime;
        assert!(!grants.decide(&user_code, Some(User(0)), late));
        assert_eq!(grants.poll(&device_code, &quirks, instant, late).err(), Some(NotYet::Expired));
    }
}
