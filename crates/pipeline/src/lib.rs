//! Joins the parts: files become documents, documents become an index, questions become answers.
//!
//! This crate owns order and back-pressure. What a window, a vector or a posting is, its siblings know.

mod bench;
mod bench_search;
mod calibrate;
mod carried;
mod checkpoint;
mod chosen;
mod collection_index;
mod compact;
mod compare_runs;
mod cross;
mod curation;
mod doctor;
mod domain;
mod encoding;
mod error;
mod evaluate;
mod explain;
mod export;
mod graphs;
mod heads;
mod home;
mod import;
mod ingest;
mod joining;
mod judged;
mod late;
mod lists;
mod migrate;
mod models;
mod narrow;
mod pinned;
mod plan;
mod policy;
mod prepare;
mod profile;
mod purge;
mod quantize;
mod query_log;
mod rates;
mod rerank;
mod row_files;
mod samples;
mod search;
mod searcher;
mod shaping;
mod source;
mod sparse;
mod sts;
mod sync;
mod texts;
mod tune;
mod watch;
mod windows;

pub use bench::{BenchOptions, BenchReport, PlanReport, bench_encode};
pub use bench_search::{BenchSearchOptions, BenchSearchReport, Times, bench_search};
pub use calibrate::{Calibration, FittedCurve, fit_relevance};
pub use collection_index::EncodeCost;
pub use compact::{CompactReport, compact};
pub use compare_runs::{JudgedBy, QueryChange, RunsComparison, RunsReport, RunsToCompare, compare_runs};
pub use curation::{pin, pins, set_synonyms, synonyms, unpin};
pub use doctor::{Check, Verdict, examine};
pub use domain::{
    DocumentFigures, DomainOptions, DomainReport, DomainVerdict, Foreignness, Frequent, LanguageFigures, LengthBin,
    LengthFigures, ModelFigures, PassagePerplexity, SplitWord, VocabularyFigures, domain_report, percent,
};
pub use encoding::{DEFAULT_MODEL, EncoderChoice, choice_for, fingerprint_hash, open_encoder, settled_precision};
pub use error::Error;
pub use evaluate::{
    EVAL_MEASURES, EvalOptions, EvalReport, IndexCost, ModeDetails, ModePair, ModeReport, QueryRow, SpanReport,
    evaluate, evaluate_run, write_queries,
};
pub use export::{ExportFormat, ExportReport, export};
pub use heads::{open_head, open_tokenizer};
pub use home::{Home, is_plain_name};
pub use import::{ImportOptions, ImportReport, import};
pub use ingest::{
    Encoders, GivenOutcome, GivenReport, IngestOptions, IngestReport, Ingestor, Progress, ProgressState, create_index,
    ingest,
};
pub use joining::{Circumstances, FusionChoice, FusionKind, ResolvedFusion};
pub use late::{TokenEncoder, open_token_encoder};
pub use migrate::{
    AlternateStatus, BuiltWith, Comparison, ExchangeReport, JudgedMode, Judgement, Migration, MigrationOptions,
    ModeComparison, Room, SampleOptions, SelfFound, Unlike, alternate_status, compare_with_next, drop_alternate_of,
    exchange, open_judgements,
};
pub use models::{ModelListing, embedded_cards, family, installed, list, remedy, verify_model};
pub use plan::{PlanOfRun, Planned, PlannedDocument, plan};
pub use policy::{PolicyChange, TimeToLive, change_policy, policy};
pub use profile::SavedProfile;
pub use purge::{PurgeOutcome, purge};
pub use quantize::{Cosine, FrontierStep, ProductHarm, QuantizeReport, quantize_report};
pub use query_log::{
    LoggedQuery, QueryLog, QueryReport, QuerySummary, clear_query_log, log_query, query_report, read_query_log,
};
pub use rates::{last_rate, remember_rate};
pub use row_files::{Draft, Dtype, FileRow, RowFormat, RowWriter, Values};
pub use samples::{read_texts, sample_texts};
pub use searcher::{Searcher, SearcherOptions};
pub use source::{Problem, SkipCounts, is_standard_input};
pub use sparse::{SparseEncoder, open_sparse_encoder};
pub use sts::{StsReport, sts};
pub use texts::{Answered, Asking, BadLine, Body, Ended, Input, Inputs, asking};
pub use tune::{FoldReport, TuneReport, TuneSettings, TunedQuery, TunedWindow, tune};
pub use watch::{Watcher, watch};
pub use windows::{TextWindow, ask_windows};

// What the binary needs of the crates below, so that it depends on this crate alone.
pub use berth_encoder::heads::entities::{Entity, Strategy};
pub use berth_encoder::heads::late::max_sim;
pub use berth_encoder::heads::sparse::Term as SparseTerm;
pub use berth_encoder::heads::{attention, classify, vectors};
pub use berth_encoder::resident_bytes;
pub use berth_encoder::{
    Asked, AttentionAnswer, Call, CallTimes, ClassAnswer, Encoder, EntityAnswer, Error as EncoderError, FileState,
    FillMaskAnswer, InstalledModel, Lane, LateAnswer, LayersAnswer, MaskedPlace, Overlong, PairAnswer,
    PerplexityAnswer, Prompt, RowToken, SentenceAnswer, SparseAnswer, Tensor, TextTokenizer, TokensAnswer,
};
pub use berth_eval::{
    CompareOptions, Comparison as MeasuredComparison, Measure, PrecisionCurve, RECALL_LEVELS, ReliabilityBin,
    SpanScores, TuneOptions,
};
pub use berth_index::dates;
pub use berth_index::highlight::snippet;
pub use berth_index::relevance::{Curve, Curves};
pub use berth_index::{
    Alternate, Error as IndexError, FieldKinds, IndexReader, IndexSettings, IndexStatus, Keeping, KeptSnapshot, Pin,
    Pins, Policy, PurgeReport, SparseSettings, StoredDocument, StoredWeights, VerifyReport, View, WordCount,
    clear_weights, exists as index_exists, keep_snapshot, list_snapshots, restore_snapshot, store_weights,
    stored_weights, verify as verify_index, verify_snapshot,
};
