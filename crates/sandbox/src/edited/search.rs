//! Searching and counting the contacts of an edited account, by the rules of the generated one.

use super::{EditedAccount, EditedContact};
use crate::account::{Account, Census, ContactCounts, DAY, Members, Search, is_active};

impl EditedAccount {
    /// Contacts that match, with their positions among all, in the order of the API. `generated` knows who is in which segment.
    pub(crate) fn find<'a>(
        &'a self,
        generated: &'a Account,
        search: &'a Search,
    ) -> impl Iterator<Item = (usize, &'a EditedContact)> + 'a {
        self.contacts.iter().enumerate().filter(|(_, contact)| contact.matches(generated, search))
    }

    /// Counts over all of the account. Subscribers are new for 30 days before `now`, in seconds since 1970 UTC.
    pub(crate) fn census(&self, generated: &Account, now: i64) -> Census {
        let alive = || self.contacts.iter().filter(|contact| !contact.is_deleted());
        let count = |choose: &dyn Fn(&EditedContact) -> bool| alive().filter(|contact| choose(contact)).count() as u64;
        let with = |permission: &str| count(&|contact| contact.permission() == Some(permission));
        let (explicit, implicit) = (with("explicit"), with("implicit"));
        let (pending, unsubscribed) = (with("pending_confirmation"), with("unsubscribed"));
        let members = |list_id: &str| Members {
            all: count(&|contact| contact.is_on_list(list_id)),
            active: count(&|contact| contact.is_on_list(list_id) && contact.is_active()),
        };
        Census {
            counts: ContactCounts {
                total: explicit + implicit + pending + unsubscribed,
                explicit,
                implicit,
                pending,
                unsubscribed,
                new_subscriber: Some(count(&|contact| contact.is_active() && contact.created() >= now - 30 * DAY)),
            },
            lists: self.lists.iter().map(|list| members(&list.list_id)).collect(),
            tags: generated.tags().iter().map(|tag| count(&|contact| contact.has_tag(&tag.tag_id))).collect(),
        }
    }
}

impl EditedContact {
    /// Whether campaigns go to the contact.
    fn is_active(&self) -> bool {
        is_active(self.is_deleted(), self.permission())
    }

    fn matches(&self, generated: &Account, search: &Search) -> bool {
        let in_segment = |segment| {
            let index = self.index.filter(|_| self.is_active());
            index.is_some_and(|index| generated.in_segment(&generated.life(index), segment))
        };
        let sms = |wanted: &[String]| {
            let wants = |status: &str| wanted.iter().any(|wanted| wanted == status);
            self.sms_permissions().is_some_and(|mut found| wants("all") || found.any(wants))
        };
        search.statuses.hold(self.is_deleted(), self.permission())
            && search.updated.holds(self.updated())
            && search.created.holds(self.created())
            && (search.opted_out.is_open() || self.opted_out().is_some_and(|at| search.opted_out.holds(at)))
            && search.segment.is_none_or(in_segment)
            && search.lists.as_ref().is_none_or(|lists| lists.iter().any(|list_id| self.is_on_list(list_id)))
            && search.tags.as_ref().is_none_or(|tags| tags.iter().any(|tag_id| self.has_tag(tag_id)))
            && search.sms.as_deref().is_none_or(sms)
            && search.email.as_deref().is_none_or(|address| self.has_address(address))
    }
}
