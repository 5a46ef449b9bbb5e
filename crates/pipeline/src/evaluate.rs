//! Measures search quality on a collection with judgements: an index is asked every query in every mode, and its answers are
//! scored. Or the answers come from a run file, and nothing is asked.

mod asked;
mod queries;
mod report;
mod spans;
mod subject;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use berth_eval::{Dataset, Measure, Run};
use berth_types::{DenseSearch, Mode, Rerank, RowKind};

pub use self::queries::{QueryRow, write_queries};
pub use self::report::{EvalReport, IndexCost, ModeDetails, ModePair, ModeReport};
pub use self::spans::SpanReport;

use self::asked::{Asked, ask};
use self::report::Scoring;
use self::spans::Answers;
use self::subject::Subject;
use crate::encoding::EncoderChoice;
use crate::judged::{unknown_among, unknown_judgements};
use crate::{Error, FusionChoice, Home, Progress};

/// What is measured unless something else is asked for: the figures by which Berth's own quality is held, and what else one
/// look at the same answers tells.
pub const EVAL_MEASURES: [Measure; 7] = [
    Measure::Ndcg(Some(10)),
    Measure::Recall(100),
    Measure::Mrr(Some(10)),
    Measure::Map(None),
    Measure::Recall(10),
    Measure::Precision(10),
    Measure::Success(1),
];

/// What to measure and how.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// Folder in BEIR layout.
    pub dataset: PathBuf,
    /// Which judgements.
    pub split: String,
    /// What is measured, the figure that counts most first; none: [`EVAL_MEASURES`].
    pub measures: Vec<Measure>,
    /// Whether judgements of unknown queries and documents are an error.
    pub strict: bool,
    /// The index to measure; none: that of the collection, built where it is not there yet.
    pub index: Option<PathBuf>,
    /// Which lists, each alone or joined; empty: all that the index has.
    pub modes: Vec<Mode>,
    /// How the dense half looks for what it compares in full.
    pub dense: DenseSearch,
    /// How they are asked and joined.
    pub joining: FusionChoice,
    /// What counts where `joining` names nothing; none: what `index` stores, else what is built in.
    pub profile: Option<PathBuf>,
    /// Model of sparse vectors of the collection's index; none: it has none.
    pub sparse: Option<String>,
    /// Which documents may be found; judgements of others count as missed.
    pub filter: Option<String>,
    /// Which model.
    pub encoder: EncoderChoice,
    /// Ids in a window; `None`: the card's.
    pub window_tokens: Option<usize>,
    /// Ids that neighbouring windows share; `None`: the default.
    pub overlap_tokens: Option<usize>,
    /// How the values of vectors are kept.
    pub rows: RowKind,
    /// Folder in which indexes of collections are kept; `None`: in `BERTH_HOME/cache/eval`.
    pub cache: Option<PathBuf>,
    /// Build the index again.
    pub rebuild: bool,
    /// First passages that are held against the answers of `spans.jsonl`, where the collection has it.
    pub span_k: usize,
    /// Write the ranked lists to `FILE.MODE` and `FILE.MODE+late`.
    pub run_file: Option<PathBuf>,
}

/// Measures. `Ok(None)` means that `cancel` became true; what was indexed until then is kept.
///
/// # Errors
/// A folder that is no collection, a split that is not there, `OtherDocuments` of an index that has none of those judged,
/// `UnknownJudgements` where that is asked for, a model that is not installed, a damaged index.
pub fn evaluate(
    home: &Home,
    options: &EvalOptions,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<EvalReport>, Error> {
    let Some((dataset, subject)) = Subject::open(home, options, progress, cancel)? else { return Ok(None) };
    let snapshot = subject.searcher.reader().snapshot();
    let mut warnings = unknown_judgements(&dataset, &snapshot, options.strict)?;
    warnings.extend(subject.warnings.iter().cloned());
    let measures = measures(&options.measures);
    let mut scoring = Scoring::new(&dataset, measures, warnings);
    scoring.index_is(&subject, options.filter.clone());
    let mut answers = Answers::read(&dataset, options.span_k)?;
    for (mode, rerank) in passes(&subject.modes, subject.resolved.rerank) {
        let name =
            rerank.map_or(mode.as_str().to_owned(), |rerank| format!("{}+{}", mode.as_str(), rerank.by.as_str()));
        progress.stage(&format!("asking {} queries: {name}", dataset.queries.len()));
        let Some(asked) = ask(&subject, &dataset, options, (mode, rerank, scoring.depth()), cancel)? else {
            return Ok(None);
        };
        if let Some(file) = &options.run_file {
            write_run(&asked.run, file, &name)?;
        }
        scoring.add(&name, &asked, Some(subject.bytes(mode, rerank)))?;
        if let Some(answers) = &mut answers
            && answers.ask(&subject, options, (&name, mode, rerank), cancel)?.is_none()
        {
            return Ok(None);
        }
    }
    if let Some(answers) = &answers {
        progress.stage("placing answers and passages");
        scoring.spans_are(answers.score(&snapshot, &subject.tokenizer(home, &options.encoder)?)?);
    }
    Ok(Some(scoring.finish()?))
}

/// Scores the answers of a TREC run file; its name in the report is the file's. Neither an index nor a model is asked.
///
/// # Errors
/// A folder that is no collection, a split that is not there, a file that is no run; `RunAnswersNothing` where it answers none of
/// the judged queries; `UnknownJudgements` where that is asked for.
pub fn evaluate_run(
    (dataset, split): (&Path, &str),
    run: &Path,
    measures_asked: &[Measure],
    strict: bool,
) -> Result<EvalReport, Error> {
    let dataset = Dataset::open(dataset, split)?;
    let documents = dataset.document_ids()?;
    let mut warnings = unknown_among(&dataset, |document| documents.contains(document), strict)?;
    let answers = read_run(run)?;
    answers.require_answers(&dataset.qrels, run)?;
    let unanswered = dataset.queries.iter().filter(|query| answers.get(&query.id).is_none()).count();
    if unanswered > 0 {
        warnings.push(format!("{unanswered} judged queries have no answer in {} and count as 0", run.display()));
    }
    let mut scoring = Scoring::new(&dataset, measures(measures_asked), warnings);
    let name = run.file_name().map_or_else(|| run.display().to_string(), |name| name.to_string_lossy().into_owned());
    scoring.add(&name, &Asked::of_run(answers), None)?;
    scoring.finish()
}

/// Reads a TREC run file.
///
/// # Errors
/// `Io`; what is wrong with a line.
pub(crate) fn read_run(path: &Path) -> Result<Run, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    Ok(Run::read_trec(BufReader::new(file), path)?)
}

fn measures(asked: &[Measure]) -> Vec<Measure> {
    if asked.is_empty() { EVAL_MEASURES.to_vec() } else { asked.to_vec() }
}

/// Every mode as it is, and, where documents are ordered anew, with that too.
fn passes(modes: &[Mode], rerank: Option<Rerank>) -> impl Iterator<Item = (Mode, Option<Rerank>)> {
    let anew = move |&mode| rerank.map(|rerank| (mode, Some(rerank)));
    modes.iter().flat_map(move |mode| std::iter::once((*mode, None)).chain(anew(mode)))
}

fn write_run(run: &Run, file: &Path, pass: &str) -> Result<(), Error> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{pass}"));
    let path = PathBuf::from(name);
    let mut writer = BufWriter::new(File::create(&path).map_err(Error::io("create", &path))?);
    run.write_trec(&mut writer, &format!("berth-{pass}"))?;
    writer.into_inner().map_err(|error| Error::io("write", &path)(error.into_error()))?;
    Ok(())
}
