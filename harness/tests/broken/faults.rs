//! What can be broken.

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None is.
    Nothing,
    /// `ne` includes null.
    NullRule,
    /// A limit gives one row too many.
    OffByOne,
    /// Rows that are equal come with the greater key first.
    TieBreak,
    /// Falling orders rise.
    WrongOrder,
    /// An empty list matches everything.
    InNothing,
    /// `%` matches everything.
    Wildcard,
    /// Text conditions ignore case, asked for or not.
    IgnoresCase,
    /// `between` leaves out its upper end.
    OpenEnd,
    /// The zeros are not equal.
    Zeros,
    /// `not` excludes null.
    NotNull,
    /// The complement of `contains` includes null.
    LacksNull,
    /// `low` and `high` are mixed up, in rows and in queries on one of them.
    Names,
    /// It claims to have filtered, and has not.
    ClaimsFilter,
    /// The offset is forgotten where there is no limit.
    LostOffset,
    /// An insert replaces what is there.
    InsertReplaces,
    /// An update of what is not there creates it.
    UpdateCreates,
    /// A delete does nothing.
    DeleteForgets,
    /// A text is cut at 65,535 bytes.
    CutsText,
    /// It says that it can't upsert, and does.
    UpsertsSecretly,
    /// It fails to find keys with a slash.
    Slash,
    /// Expectations are not looked at.
    Expectations,
    /// Batches are applied operation by operation, until one fails.
    HalfBatches,
    /// Observers are told only after readers have seen a batch.
    LateObservers,
    /// Entries are numbered from one again after a wipe.
    SeqsAgain,
    /// `read_now` loses the last row.
    LendsLess,
    /// `lend` lends the first row twice.
    LendsTwice,
    /// `count` forgets the window.
    CountsAll,
    /// Tombstones are shown as rows.
    ShowsTombstones,
    /// The tail of a row is lost.
    LosesTail,
    /// Repeated mutations are applied again.
    AppliesTwice,
    /// The base version is not looked at.
    Versions,
    /// An index holds numbers as two's complement without turning the sign: those below zero come after all others.
    IndexOrder,
    /// The two references of a book are mixed up.
    Mixup,
    /// What is gone is not told.
    LosesStones,
    /// Changes are told by the moment at which they were made, and those of the cursor's moment are passed over.
    PassesMoment,
    /// There is always more.
    RepeatsForEver,
    /// A cursor that is too old counts as one of now.
    ForgetsExpiry,
    /// What was written while everything was told is not told.
    MissesMeanwhile,
    /// The total is one too many.
    CountsWrongly,
    /// A row is told as there and as gone.
    TellsTwoFates,
    /// A row is told as it was when it was told first.
    TellsOldRows,
    /// What was gone once is not told any more.
    ForgetsReturned,
    /// It goes on where it was, whatever the cursor.
    KeepsPlace,
    /// Rows are told without their version.
    BareRows,
    /// Some of the pushed changes are lost.
    DropsChanges,
    /// Pushed changes change places.
    ReordersChanges,
    /// No hint is pushed.
    DropsHints,
    /// The stream of pushed changes never ends.
    HasNoEnd,
    /// Whoever goes on from a position hears what comes from now on.
    IgnoresPosition,
    /// What was there before is pushed as if it were new.
    TellsPast,
    /// Changes of one model are pushed to those who listen to another.
    MixesModels,
    /// A request loses its body.
    DropsBody,
    /// A request goes without its headers.
    DropsHeaders,
    /// The query of a target is cut off.
    CutsTarget,
    /// Every request is a POST.
    OneMethod,
    /// A request is sent twice.
    SendsTwice,
    /// A request that the server has no time for is sent again at once.
    TriesAgain,
    /// Whatever is answered is an answer.
    TakesAnyAnswer,
    /// The error says nothing of the status.
    LosesStatus,
    /// How long the server asks to be left alone is not told.
    ForgetsWait,
    /// A delete that finds nothing is done, the first time as well.
    GoneAtOnce,
    /// A repeat goes under another key.
    NewKeys,
    /// Everything is admitted.
    AdmitsAll,
    /// A request is sent when it is looked at.
    SendsEarly,
    /// All hosts are one.
    OneHost,
    /// A request for a host that is not known goes to that of the rows.
    AnyHost,
    /// What was withdrawn is sent.
    SendsWithdrawn,
    /// The last answer is given to whoever asks next.
    MixesAnswers,
}
