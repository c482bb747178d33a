//! What an error of a store comes down to: whose turn it is, and what to do. One table for disks and for the object stores.

use std::error::Error as StdError;
use std::io;

use object_store::Error as StoreError;

/// What an error of a store comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFault {
    DiskFull,
    DiskQuota,
    FilePermission,
    ReadOnly,
    InTheWay,
    Disk,
    NoBucket,
    NoCredentials,
    UnknownKey,
    WrongSecret,
    WrongCredentials,
    Forbidden,
    WrongRegion,
    WrongClock,
    Certificate,
    Missing,
    Exists,
    Refused,
    Unreachable,
    Passing,
}

/// Words of a response that say more than its status, each with what it means. Codes of S3, Google and Azure; they are in
/// the text of the error and nowhere else.
const WORDS: &[(&str, StoreFault)] = &[
    // Where the host's own credentials are asked for: no others were set.
    ("169.254.169.254", StoreFault::NoCredentials),
    ("metadata.google.internal", StoreFault::NoCredentials),
    ("NoSuchBucket", StoreFault::NoBucket),
    ("ContainerNotFound", StoreFault::NoBucket),
    ("The specified bucket does not exist", StoreFault::NoBucket),
    ("InvalidAccessKeyId", StoreFault::UnknownKey),
    ("SignatureDoesNotMatch", StoreFault::WrongSecret),
    ("AuthenticationFailed", StoreFault::WrongCredentials),
    ("Server failed to authenticate the request", StoreFault::WrongCredentials),
    ("InvalidAuthenticationInfo", StoreFault::WrongCredentials),
    ("ExpiredToken", StoreFault::WrongCredentials),
    ("InvalidToken", StoreFault::WrongCredentials),
    ("RequestTimeTooSkewed", StoreFault::WrongClock),
    ("AuthorizationHeaderMalformed", StoreFault::WrongRegion),
    ("PermanentRedirect", StoreFault::WrongRegion),
    ("Received redirect without LOCATION", StoreFault::WrongRegion),
    ("invalid peer certificate", StoreFault::Certificate),
    ("Connection refused", StoreFault::Unreachable),
    ("dns error", StoreFault::Unreachable),
    ("error trying to connect", StoreFault::Unreachable),
];

impl StoreFault {
    /// Reads an error with all its causes.
    pub(crate) fn of(error: &StoreError) -> Self {
        if matches!(error, StoreError::Generic { store: "LocalFileSystem", .. }) {
            return io_kind(error).map_or(Self::Disk, Self::of_disk);
        }
        let text = with_causes(error);
        if let Some((_, fault)) = WORDS.iter().find(|(word, _)| text.contains(word)) {
            return *fault;
        }
        match error {
            StoreError::NotFound { .. } => Self::Missing,
            // S3 says so of two creates at once; which of them won is open.
            StoreError::AlreadyExists { .. } if is_conflict(error) => Self::Passing,
            StoreError::AlreadyExists { .. } => Self::Exists,
            StoreError::PermissionDenied { .. } => Self::Forbidden,
            StoreError::Unauthenticated { .. } => Self::WrongCredentials,
            StoreError::Generic { .. } => match status(&text) {
                Some(401) => Self::WrongCredentials,
                Some(403) => Self::Forbidden,
                Some(404) => Self::Missing,
                Some(408 | 429) | None => Self::Passing,
                Some(status) if status >= 500 => Self::Passing,
                Some(_) => Self::Refused,
            },
            _ => Self::Refused,
        }
    }

    fn of_disk(kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Kind;
        match kind {
            Kind::StorageFull => Self::DiskFull,
            Kind::QuotaExceeded => Self::DiskQuota,
            Kind::PermissionDenied => Self::FilePermission,
            Kind::ReadOnlyFilesystem => Self::ReadOnly,
            Kind::NotADirectory | Kind::AlreadyExists => Self::InTheWay,
            // What file systems over a network say of a server that is away for a moment.
            Kind::TimedOut | Kind::Interrupted | Kind::StaleNetworkFileHandle | Kind::ResourceBusy => Self::Passing,
            _ => Self::Disk,
        }
    }

    /// The same may succeed a little later.
    pub(crate) fn is_transient(self) -> bool {
        matches!(self, Self::Unreachable | Self::Passing)
    }

    /// The advice says all that there is to know.
    pub(crate) fn explains_itself(self) -> bool {
        matches!(self, Self::NoBucket | Self::NoCredentials | Self::UnknownKey | Self::WrongSecret | Self::WrongClock)
    }

    /// What happened, and what to do.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::DiskFull => "the disk is full, free some space and run again",
            Self::DiskQuota => "the disk quota is used up, free some space and run again",
            Self::FilePermission => "permission denied, let this user write there",
            Self::ReadOnly => "the file system is read-only, choose another destination",
            Self::InTheWay => "a file is where a folder must be, move it or choose another destination",
            Self::Disk => "the disk reports an error, see the cause",
            Self::NoBucket => "there is no such bucket, create it or correct the destination's URL",
            Self::NoCredentials => {
                "no credentials are set and this host has none of its own, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (s3://), \
                 GOOGLE_APPLICATION_CREDENTIALS (gs://) or AZURE_STORAGE_ACCOUNT_KEY (az://)"
            }
            Self::UnknownKey => "the store does not know the access key, check AWS_ACCESS_KEY_ID",
            Self::WrongSecret => "the secret does not match the access key, check AWS_SECRET_ACCESS_KEY",
            Self::WrongCredentials => "the store rejects the credentials, check the key and its secret",
            Self::Forbidden => "the credentials do not allow this, let them list, read, write and delete there",
            Self::WrongRegion => "the bucket is in another region, set `region` in `destination.options`",
            Self::WrongClock => "this host's clock is wrong, correct it",
            Self::Certificate => "the endpoint's certificate is not trusted, check `endpoint` or install its authority",
            Self::Missing => "it does not exist",
            Self::Exists => "it exists already",
            Self::Refused => "the store refuses the request, see the cause",
            Self::Unreachable => "the store cannot be reached, check the network and the endpoint, then run again",
            Self::Passing => "the store failed, see the cause and run again",
        }
    }
}

/// Two conditional writes of one key met, and the store decided for none of them.
pub(crate) fn is_conflict(error: &StoreError) -> bool {
    with_causes(error).contains("ConditionalRequestConflict")
}

/// The kind of the I/O error at the root of a store's error, where there is one.
pub(crate) fn io_kind(error: &StoreError) -> Option<io::ErrorKind> {
    causes(error).find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn causes(error: &StoreError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors::<&(dyn StdError + 'static), _>(Some(error), |&error| error.source())
}

fn with_causes(error: &StoreError) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The HTTP status in the text of an error. The library keeps its own type for it to itself.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(store: &'static str, text: &str) -> StoreError {
        StoreError::Generic { store, source: text.into() }
    }

    #[test]
    fn answers_of_stores_are_told_apart() {
        let answer = |status: &str| format!("Error performing GET x - Server returned non-2xx status code: {status}: ");
        for (text, expected) in [
            (answer("503 Service Unavailable"), StoreFault::Passing),
            (answer("429 Too Many Requests"), StoreFault::Passing),
            (answer("400 Bad Request"), StoreFault::Refused),
            (answer("403 Forbidden"), StoreFault::Forbidden),
            (answer("404 Not Found") + "<Code>NoSuchBucket</Code>", StoreFault::NoBucket),
            (answer("400 Bad Request") + "<Code>AuthorizationHeaderMalformed</Code>", StoreFault::WrongRegion),
            (answer("403 Forbidden") + "<Code>RequestTimeTooSkewed</Code>", StoreFault::WrongClock),
            (
                "Error performing PUT http://169.254.169.254/latest/api/token in 3s".to_owned(),
                StoreFault::NoCredentials,
            ),
            ("operation timed out".to_owned(), StoreFault::Passing),
        ] {
            assert_eq!(StoreFault::of(&generic("S3", &text)), expected, "{text}");
        }
        let conflict = || answer("409 Conflict") + "<Code>ConditionalRequestConflict</Code>";
        let exists = |text: String| StoreError::AlreadyExists { path: "x".to_owned(), source: text.into() };
        assert_eq!(StoreFault::of(&exists(conflict())), StoreFault::Passing);
        assert_eq!(StoreFault::of(&exists(answer("412 Precondition Failed"))), StoreFault::Exists);
    }

    #[test]
    fn errors_of_the_disk_are_told_by_their_kind() {
        let of = |code: i32| {
            let source = io::Error::from_raw_os_error(code);
            StoreFault::of(&StoreError::Generic { store: "LocalFileSystem", source: Box::new(source) })
        };
        let [full, quota, denied, read_only, io] = [28, 122, 13, 30, 5];
        assert_eq!(of(full), StoreFault::DiskFull);
        assert_eq!(of(quota), StoreFault::DiskQuota);
        assert_eq!(of(denied), StoreFault::FilePermission);
        assert_eq!(of(read_only), StoreFault::ReadOnly);
        assert_eq!(of(io), StoreFault::Disk);
        assert!(![full, quota, denied, read_only, io].into_iter().any(|code| of(code).is_transient()));
    }
}
