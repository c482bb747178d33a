//! Random histories of an account: what happens, when it becomes visible, and where runs read in between.

use proptest::collection::vec;
use proptest::prelude::*;

/// One step of a history.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// So many seconds go by.
    Wait(i64),
    /// Something happens.
    Change(Happening),
    /// A run, and what happens while it reads contacts, by rising pages.
    Run(Vec<During>),
    /// A run that is stopped after so many pages.
    Stop(u64),
}

/// Something that happens while a run reads.
#[derive(Debug, Clone)]
pub(crate) struct During {
    /// Page of contacts, counted from 1, before which it happens.
    pub(crate) page: u64,
    /// Seconds that go by before it. None before the first page: its date is that of the run.
    pub(crate) after: i64,
    pub(crate) happening: Happening,
}

/// Something that happens. Numbers choose among what is there; where nothing fits, a contact is created.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    pub(crate) what: What,
    pub(crate) who: usize,
    /// Chooses a name, a tag, a list, a value.
    pub(crate) variant: u8,
    /// Seconds that its row is older than the moment at which it becomes visible; within the overlap of runs.
    pub(crate) late: i64,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Create,
    Rename,
    SetField,
    Tag,
    Untag,
    Join,
    Leave,
    Unsubscribe,
    Resubscribe,
    Delete,
    Revive,
    Purge,
    CreateList,
    RenameList,
    DeleteList,
    CreateCampaign,
    ChangeCampaign,
}

/// What is not the same for all histories.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is its own yes or no")]
pub(crate) struct Setting {
    /// Cursors hold positions, or ids.
    pub(crate) positional: bool,
    pub(crate) shuffled: bool,
    pub(crate) inclusive: bool,
    pub(crate) count_on_every_page: bool,
    /// Rows a page.
    pub(crate) rows: usize,
    /// Seconds that the server's clock is ahead of the host's.
    pub(crate) ahead: i64,
    /// What moves a contact's `updated_at` beside its own fields: tags, custom fields, joining, leaving, deletion.
    pub(crate) moves: [bool; 5],
    /// Keys of the contacts report about its partitions.
    pub(crate) partitions: &'static str,
}

/// Seconds by which rows show up late: less than the overlap of 10 minutes, however far clocks are apart.
const LATEST: i64 = 9 * 60;

/// A setting and a history of up to so many steps.
pub(crate) fn histories(steps: usize) -> impl Strategy<Value = (Setting, Vec<Step>)> {
    (settings(), vec(step(), 1..steps))
}

fn settings() -> impl Strategy<Value = Setting> {
    let partitions = prop_oneof![
        Just(""),
        Just("partition_by: [{year: created_at}]"),
        Just("partition_by: [{bucket: {column: contact_id, count: 3}}]"),
    ];
    let mostly = || prop::bool::weighted(0.8);
    let moves = [mostly(), mostly(), mostly(), mostly(), mostly()];
    (any::<[bool; 4]>(), 1..6_usize, -4..=4_i64, moves, partitions).prop_map(
        |([positional, shuffled, inclusive, count_on_every_page], rows, ahead, moves, partitions)| Setting {
            positional,
            shuffled,
            inclusive,
            count_on_every_page,
            rows,
            ahead,
            moves,
            partitions,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    const DAY: i64 = 86_400;
    let wait = prop::sample::select(vec![1, 1, 2, 30, 300, 700, 3_600, DAY, 8 * DAY]);
    prop_oneof![
        2 => wait.prop_map(Step::Wait),
        9 => happening().prop_map(Step::Change),
        3 => Just(Step::Run(Vec::new())),
        1 => during().prop_map(Step::Run),
        1 => (1..3_u64).prop_map(Step::Stop),
    ]
}

fn during() -> impl Strategy<Value = Vec<During>> {
    let after = prop::sample::select(vec![0, 0, 1, 60, 3_600]);
    vec((1..5_u64, after, happening()), 1..4).prop_map(|during| {
        let of = |(page, after, happening)| During { page, after: if page == 1 { 0 } else { after }, happening };
        let mut during: Vec<During> = during.into_iter().map(of).collect();
        during.sort_by_key(|during| during.page);
        during
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let what = prop_oneof![
        8 => Just(What::Create),
        4 => Just(What::Rename),
        3 => Just(What::SetField),
        2 => Just(What::Tag),
        1 => Just(What::Untag),
        3 => Just(What::Join),
        2 => Just(What::Leave),
        3 => Just(What::Unsubscribe),
        1 => Just(What::Resubscribe),
        2 => Just(What::Delete),
        1 => Just(What::Revive),
        1 => Just(What::Purge),
        2 => Just(What::CreateList),
        1 => Just(What::RenameList),
        1 => Just(What::DeleteList),
        2 => Just(What::CreateCampaign),
        2 => Just(What::ChangeCampaign),
    ];
    let late = prop_oneof![3 => Just(0), 2 => -4..=4_i64, 2 => 0..=LATEST];
    (what, any::<u16>(), any::<u8>(), late).prop_map(|(what, who, variant, late)| Happening {
        what,
        who: usize::from(who),
        variant,
        late,
    })
}
