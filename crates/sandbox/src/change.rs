//! What can happen to an account while it is served: plain data, so that tests can make histories of it.

use serde_json::Value;

/// A change of the account. What moves with it, such as `updated_at`, is the sandbox's affair; the moment comes with the
/// call, so that equal moments, a clock that is ahead, and rows that show up late with an older `updated_at` can be had.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A contact comes: an object of the API's keys, of which only `contact_id` is required. What it leaves out is made
    /// up: dates are the moment of the change, an address has implicit consent, sub-resources are empty.
    CreateContact(Value),
    /// Something happens to the contact with this id.
    Contact(String, ContactChange),
    /// The contact with this id is gone for good, and no filter finds a trace of it.
    PurgeContact(String),
    /// A list of the email channel comes.
    CreateList {
        /// Id of the list, a UUID.
        list_id: String,
        /// Its name.
        name: String,
    },
    /// A list gets another name, which moves its `updated_at`.
    RenameList {
        /// Id of the list.
        list_id: String,
        /// Its new name.
        name: String,
    },
    /// A list is deleted. Its members leave it, and that moves nothing of theirs.
    DeleteList {
        /// Id of the list.
        list_id: String,
    },
    /// A campaign comes.
    CreateCampaign {
        /// Id of the campaign, a UUID.
        campaign_id: String,
        /// Id of its activity, which tracked events name.
        campaign_activity_id: String,
        /// Its name.
        name: String,
        /// `Draft`, `Scheduled`, `Done`, `Error` or `Removed`.
        status: String,
    },
    /// A campaign gets another status, which moves its `updated_at`.
    ChangeCampaign {
        /// Id of the campaign.
        campaign_id: String,
        /// Its new status.
        status: String,
    },
    /// A contact did something with a campaign at the moment of the change.
    Track {
        /// Id of the contact.
        contact_id: String,
        /// Id of the activity.
        campaign_activity_id: String,
        /// Name of the activity.
        name: String,
        /// One of [`TRACKING_ACTIVITY_TYPES`](crate::TRACKING_ACTIVITY_TYPES).
        kind: &'static str,
    },
}

/// What can happen to a contact. Where the live API is not documented, a [quirk](crate::Quirks) says whether the change
/// moves the contact's `updated_at`.
#[derive(Debug, Clone, PartialEq)]
pub enum ContactChange {
    /// Keys of the contact get other values; `null` takes a key away. Moves `updated_at`, unless it is among the keys.
    Fields(Value),
    /// A custom field gets a value, or loses it.
    CustomField {
        /// Id of the custom field.
        custom_field_id: String,
        /// Its value; `None` takes it away.
        value: Option<String>,
    },
    /// The contact gets a tag.
    Tag(String),
    /// The contact loses a tag.
    Untag(String),
    /// The contact joins a list. A deleted one is thereby revived.
    Join(String),
    /// The contact leaves a list.
    Leave(String),
    /// The address opts out: moves the address's `updated_at`, and nothing of the contact.
    Unsubscribe,
    /// The address opts in again: moves the address's `updated_at`, and nothing of the contact, so that no filter finds it.
    Resubscribe,
    /// The contact is deleted: it leaves its lists, and only `status=all` and `status=deleted` show it.
    Delete,
    /// A deleted contact comes back.
    Revive,
}
