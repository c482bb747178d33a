//! Page bytes to Parquet bytes for contacts with all sub-resources, against what its two ends cost alone.
//!
//! Alone means: `arrow-json` decodes the same pages to typed columns, one decoder and one flush a page, and `ArrowWriter`
//! writes the same tables with zstd-1 and its other defaults. The program does both and the flattening, typing, sorting,
//! indexes and bloom filters besides. Each measurement runs in a process of its own, pinned to one core or to two.
//!
//! `cargo bench -p ctct-benches --bench pages_to_parquet`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its result and may stop")]

use std::collections::BTreeMap;
use std::num::NonZero;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ctct_catalog::{Catalog, FieldType, Report};
use ctct_load::{
    Absent, Brake, Destination, FileOptions, LoadPlan, Reach, Repeats, ReportState, RunOutcome, Session, StoreOptions,
    Window, WriteMode,
};
use ctct_sandbox::SandboxConfig;
use ctct_testkit::contact_pages;
use ctct_transform::{DecodedPage, PageDecoder, PageInput};
use futures::{StreamExt, stream};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

const CONTACTS: u64 = 50_000;
/// Each measurement is the best of so many: what disturbs a run only makes it slower.
const REPEATS: usize = 4;
/// All measurements are made one after the other, so often; ratios are within a round, and the median round is shown.
const ROUNDS: usize = 5;
/// Names the measurement that a child process is to make.
const MEASURE: &str = "CTCT_BENCH_MEASURE";

fn main() {
    if let Ok(measure) = std::env::var(MEASURE) {
        let times = (0..REPEATS).map(|_| match measure.as_str() {
            "decode" => decode_alone(),
            "encode" => encode_alone(),
            "transform" => transform(),
            _ => product(),
        });
        println!("{}", times.min().unwrap_or_default().as_secs_f64());
        return;
    }
    let bytes: usize = pages().iter().map(Bytes::len).sum();
    #[expect(clippy::cast_precision_loss, reason = "megabytes with one decimal")]
    let megabytes = bytes as f64 / 1e6;
    println!("{CONTACTS} contacts, {megabytes:.1} MB of JSON");
    let rounds: Vec<[f64; 5]> = (0..ROUNDS)
        .map(|_| {
            [
                pinned("decode", "0"),
                pinned("encode", "0"),
                pinned("transform", "0"),
                pinned("product", "0"),
                pinned("product", "0,1"),
            ]
        })
        .collect();
    let show = |name: &str, index: usize| {
        let seconds = median(rounds.iter().map(|round| round[index]));
        println!("{name:<44} {seconds:.3} s  {:.0} MB/s", megabytes / seconds);
    };
    show("arrow-json decode alone, 1 core", 0);
    show("ArrowWriter zstd-1 alone, 1 core", 1);
    show("transform alone, 1 core", 2);
    show("pages to Parquet, 1 core", 3);
    show("pages to Parquet, 2 cores", 4);
    let cost = median(rounds.iter().map(|[decode, encode, _, one, _]| one / (decode + encode)));
    println!("pages to Parquet / (decode + encode), 1 core: {cost:.2}  (bound: at most 1.30)");
    let gain = median(rounds.iter().map(|[_, _, _, one, two]| one / two));
    println!("2 cores / 1 core: {gain:.2}  (bound: at least 1.70)");
}

/// A measurement in a process that may use only these cores.
fn pinned(measure: &str, cores: &str) -> f64 {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("taskset").args(["-c", cores]).arg(program).env(MEASURE, measure).output();
    let output = output.expect("taskset, of util-linux, pins a process to cores");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{measure}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn pages() -> Vec<Bytes> {
    contact_pages(&SandboxConfig { contacts: CONTACTS, ..SandboxConfig::default() }, 500)
}

fn report() -> Arc<Report> {
    let catalog = Catalog::embedded().expect("the embedded catalog is valid");
    Arc::clone(catalog.get("contacts").expect("contacts is a report"))
}

/// The envelope of a page with the types that the columns have in the end.
fn typed(report: &Report) -> Arc<Schema> {
    let row = DataType::Struct(report.columns.iter().map(arrow_field).collect());
    let rows = Field::new_list("contacts", Field::new_list_field(row, true), true);
    let next = DataType::Struct(Fields::from(vec![Field::new("href", DataType::Utf8View, true)]));
    let links = DataType::Struct(Fields::from(vec![Field::new("next", next, true)]));
    Arc::new(Schema::new(vec![rows, Field::new("_links", links, true)]))
}

fn arrow_field(field: &ctct_catalog::Field) -> Field {
    let fields = || DataType::Struct(field.fields.iter().map(arrow_field).collect());
    let data_type = match field.kind {
        FieldType::Object => fields(),
        FieldType::List => {
            let item = field.item.as_deref().map_or_else(fields, |item| arrow_field(item).data_type().clone());
            DataType::new_list(item, true)
        }
        // The offset, not the name: naming a zone would need its database at run time.
        FieldType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        FieldType::Integer => DataType::Int64,
        FieldType::Number => DataType::Float64,
        FieldType::Boolean => DataType::Boolean,
        FieldType::Id | FieldType::String => DataType::Utf8View,
    };
    Field::new(&field.name, data_type, true)
}

fn decode_alone() -> Duration {
    let (pages, schema) = (pages(), typed(&report()));
    timed(|| {
        for page in &pages {
            let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().expect("a valid schema");
            decoder.decode(page).expect("a page is JSON");
            drop(std::hint::black_box(decoder.flush().expect("a page fits the schema")));
        }
    })
}

fn encode_alone() -> Duration {
    let (report, pages) = (report(), decoded());
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("zstd has a level 1"));
    timed(|| {
        for (index, table) in report.tables().iter().enumerate() {
            let properties = WriterProperties::builder().set_compression(zstd).build();
            let schema = Arc::clone(&table.schema);
            let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).expect("a writer");
            for page in &pages {
                let batch: &RecordBatch = &page.tables[index].batch;
                writer.write(batch).expect("a batch of the schema");
            }
            drop(std::hint::black_box(writer.into_inner().expect("a complete file")));
        }
    })
}

fn transform() -> Duration {
    let pages = pages();
    let decoder = PageDecoder::new(report());
    timed(|| {
        for page in &pages {
            drop(std::hint::black_box(decode(&decoder, page)));
        }
    })
}

fn decoded() -> Vec<DecodedPage> {
    let decoder = PageDecoder::new(report());
    pages().iter().map(|page| decode(&decoder, page)).collect()
}

fn decode(decoder: &PageDecoder, body: &Bytes) -> DecodedPage {
    let input = PageInput { body, bound: &[], extracted_at: DateTime::<Utc>::UNIX_EPOCH, commit: 1 };
    decoder.decode(&input).expect("a page of contacts")
}

/// What a run does between the last byte of a page and the last byte of Parquet, on as many threads as there are cores.
fn product() -> Duration {
    let pages = pages();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        // A folder, as users have it: uploads to object stores hold larger parts, which leaves less memory for row groups.
        // Without fsync, since the disk is not what is measured.
        let folder = tempfile::tempdir().expect("a temporary folder");
        let destination =
            Destination::open("data", folder.path(), &StoreOptions::default()).expect("a folder").with_fsync(false);
        let mut session = Session::begin(&destination, plan()).await.expect("an empty store");
        let decoder = Arc::new(PageDecoder::new(report()));
        let start = Instant::now();
        let mut arriving = stream::iter(&pages)
            .map(|page| {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let (decoder, page) = (Arc::clone(&decoder), page.clone());
                rayon::spawn(move || drop(sender.send(decode(&decoder, &page))));
                receiver
            })
            .buffered(cores);
        while let Some(page) = arriving.next().await {
            session.write(page.expect("a decoded page").tables).await.expect("memory takes all");
        }
        session.commit(nothing_to_say()).await.expect("memory takes all");
        start.elapsed()
    })
}

fn plan() -> LoadPlan {
    LoadPlan {
        pipeline: "bench".to_owned(),
        account: "bench".to_owned(),
        identity: ctct_load::Owner::default(),
        report: report(),
        mode: WriteMode::Append,
        history: false,
        repeats: Repeats::None,
        rebuild: false,
        forgets_history: false,
        changed: Vec::new(),
        partition_by: Vec::new(),
        run_id: "bench".to_owned(),
        files: FileOptions::default(),
    }
}

fn nothing_to_say() -> RunOutcome {
    RunOutcome {
        supersedes: false,
        state: ReportState::default(),
        window: Window::default(),
        committed_at: DateTime::<Utc>::UNIX_EPOCH,
        absent: Absent::Stay,
        carry_over: false,
        answers: true,
        brake: Brake::Off,
        reach: Reach::default(),
        stats: BTreeMap::new(),
    }
}
