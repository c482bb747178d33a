//! Sizes of Parquet files and of the memory that writing them takes, and how pages are compressed: what suits a destination.

/// Sizes of files, and of the memory that writing them may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Arrow bytes that make a row group. 8 MiB are some 10,000 contacts: enough for statistics and dictionaries to pay,
    /// few enough that a report with eight tables fits in small memory.
    pub row_group_bytes: usize,
    /// Parquet bytes after which a file is closed and the next one begins: 128 MiB, what Spark splits input into.
    pub file_bytes: u64,
    /// Row groups after which a file is closed, whatever its size. A file's footer stays in memory until then, some
    /// 1.5 kB for each column and row group: without this bound, memory would grow with the account.
    pub file_row_groups: usize,
    /// Bytes that may wait to be written or sent, over all tables and partitions of a report, those being encoded
    /// included. Past it the largest buffer is written early, as smaller row groups. 14 MiB: the process stays
    /// below 96 MiB, with the rest of it for encoding, the allocator and everything that is not loading.
    pub memory_bytes: usize,
    /// Bytes of open files that may wait until they fill a part of the upload, in equal shares for each table. Past it the
    /// table's fullest file is closed. 32 MiB are what 512 files on a disk can hold back at most.
    pub waiting_bytes: usize,
    /// Files that may stay open between row groups, in equal shares for each table; a partition past its table's share
    /// gets a file for each row group. 512, since a process usually has 1,024 file handles.
    pub open_files: usize,
    /// How pages of columns are compressed.
    pub compression: Compression,
    /// Level of the compression; that of [`Compression::usual_level`] where absent.
    pub compression_level: Option<u32>,
    /// Whether files repeat the account of their folder in a column `_account`, for readers that take nothing from paths.
    pub account_column: bool,
}

/// How pages of columns are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard: small and fast.
    #[default]
    Zstd,
    /// Snappy: larger files, which every reader of Parquet takes.
    Snappy,
    /// Gzip: small and slow.
    Gzip,
    /// None.
    None,
}

impl Compression {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Snappy, Self::Gzip, Self::None];

    /// Its name in a pipeline.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }

    /// Its levels, both ends included; absent where it has none.
    pub fn levels(self) -> Option<(u32, u32)> {
        match self {
            Self::Zstd => Some((1, 22)),
            Self::Gzip => Some((0, 9)),
            Self::Snappy | Self::None => None,
        }
    }

    /// The level that is used where nobody names one. 1 of zstd makes files about as small as 3 does here and takes two thirds of
    /// the time.
    pub fn usual_level(self) -> u32 {
        match self {
            Self::Zstd => 1,
            Self::Gzip => 6,
            Self::Snappy | Self::None => 0,
        }
    }
}

/// What a user may say of Parquet files; what is absent is left to the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileSettings {
    /// How pages of columns are compressed.
    pub compression: Option<Compression>,
    /// Level of the compression.
    pub compression_level: Option<u32>,
    /// See [`FileOptions::row_group_bytes`].
    pub row_group_bytes: Option<usize>,
    /// See [`FileOptions::file_bytes`].
    pub target_bytes: Option<u64>,
    /// See [`FileOptions::account_column`].
    pub account_column: bool,
}

/// Row groups of a file where a user names its size.
const MOST_ROW_GROUPS: u64 = 256;
/// Arrow bytes are at most about so many times the Parquet bytes that they become.
const SHRINKS: u64 = 16;

impl FileOptions {
    /// The same options as far as these settings leave them. Memory and open row groups follow the sizes that they name: a row
    /// group is gathered in memory, twice while it is encoded.
    #[must_use]
    pub fn with(self, settings: &FileSettings) -> Self {
        let row_group_bytes = settings.row_group_bytes.unwrap_or(self.row_group_bytes);
        let row_groups = settings.target_bytes.map_or(0, |bytes| {
            let groups = bytes.saturating_mul(SHRINKS) / (row_group_bytes.max(1) as u64);
            groups.min(MOST_ROW_GROUPS)
        });
        Self {
            row_group_bytes,
            file_bytes: settings.target_bytes.unwrap_or(self.file_bytes),
            file_row_groups: self.file_row_groups.max(usize::try_from(row_groups).unwrap_or(usize::MAX)),
            memory_bytes: self.memory_bytes.max(settings.row_group_bytes.unwrap_or(0).saturating_mul(2)),
            compression: settings.compression.unwrap_or(self.compression),
            compression_level: settings.compression_level.or(self.compression_level),
            account_column: settings.account_column,
            ..self
        }
    }
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            row_group_bytes: 8 << 20,
            file_bytes: 128 << 20,
            file_row_groups: 32,
            memory_bytes: 14 << 20,
            waiting_bytes: 32 << 20,
            open_files: 512,
            compression: Compression::default(),
            compression_level: None,
            account_column: false,
        }
    }
}
