//! How foreign a collection is to a model, before anything is embedded: how its words are cut, how long its documents are, in
//! which languages, how many repeat others; and a verdict in words. What is counted how is in the files below; the words of
//! the verdict are in `verdict.rs`.

mod copies;
mod documents;
mod figures;
mod perplexity;
mod sampling;
mod tally;
mod verdict;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use berth_encoder::{InstalledModel, TextTokenizer};
use berth_index::IndexReader;
use berth_types::{Document, Head, ModelCard};
use rayon::prelude::*;
use serde::Serialize;

use self::documents::{Documents, short_hash};
pub use self::figures::{Frequent, LanguageFigures, LengthBin, LengthFigures, SplitWord, VocabularyFigures};
pub use self::perplexity::PassagePerplexity;
use self::sampling::Levels;
use self::tally::Tally;
pub use self::verdict::{DomainVerdict, Foreignness, percent};
use crate::encoding::{DEFAULT_MODEL, EncoderChoice, choice_for};
use crate::ingest::DEFAULT_OVERLAP_TOKENS;
use crate::models::{embedded_cards, installed};
use crate::source::SkipCounts;
use crate::{Error, Home, Progress};

/// Documents that are measured on all cores at once.
const BATCH_DOCUMENTS: usize = 256;
/// Bytes of their texts. Tokenising holds some forty times a text in memory, but no more than 8 KiB of it at once.
const BATCH_BYTES: usize = 8 << 20;

/// What to measure, and how closely.
#[derive(Debug, Clone)]
pub struct DomainOptions {
    /// Folders and files, as of an index; none measures what the index stores.
    pub paths: Vec<PathBuf>,
    /// Index whose documents are measured; with paths, only its model and windows count, where it is there.
    pub index: Option<PathBuf>,
    /// Follow symbolic links.
    pub follow_links: bool,
    /// Model, and how it runs where it is asked to foresee words.
    pub encoder: EncoderChoice,
    /// Ids in a window; `None`: as the index has it, else as the card recommends.
    pub window_tokens: Option<usize>,
    /// Most documents whose words are counted.
    pub sample_documents: usize,
    /// Most passages that the model is asked to foresee; 0 asks nothing.
    pub sample_passages: usize,
    /// Decides which ones.
    pub seed: u64,
    /// Cut words that are named.
    pub split_words: usize,
}

impl Default for DomainOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            index: None,
            follow_links: false,
            encoder: EncoderChoice::default(),
            window_tokens: None,
            sample_documents: 20_000,
            sample_passages: 32,
            seed: 1,
            split_words: 20,
        }
    }
}

/// How foreign a collection is to a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainReport {
    /// The verdict, what speaks for it, and what to try.
    #[serde(flatten)]
    pub verdict: DomainVerdict,
    /// The model that would read it.
    pub model: ModelFigures,
    /// What there is, before any of it is read closely.
    pub documents: DocumentFigures,
    /// How words are cut, of the sample.
    pub vocabulary: VocabularyFigures,
    /// How long documents are, of the sample.
    pub lengths: LengthFigures,
    /// In which languages they are, of the sample.
    pub languages: Vec<LanguageFigures>,
    /// How well the model foresees a sample of passages; null where it has no head for that.
    pub perplexity: Option<PassagePerplexity>,
    /// Why it was not asked to.
    pub perplexity_unavailable: Option<String>,
    /// What was passed over, by reason.
    pub skipped_by_reason: SkipCounts,
    /// What the sample was drawn by.
    pub seed: u64,
    /// Version of Berth.
    pub version: &'static str,
    /// Wall time.
    pub seconds: f64,
}

/// What is known of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelFigures {
    /// Its name.
    pub name: String,
    /// Pieces in its vocabulary.
    pub vocabulary: usize,
    /// Ids in a window.
    pub window_tokens: usize,
    /// Length of the texts that it was trained with, as its card says.
    pub trained_tokens: Option<usize>,
    /// Most ids that it takes.
    pub max_tokens: usize,
    /// Languages that it was trained for, as its card says.
    pub languages: Vec<String>,
}

/// What is counted of all documents, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DocumentFigures {
    /// Documents.
    pub documents: usize,
    /// Those that were read closely: the sample.
    pub sampled: usize,
    /// Those without text.
    pub empty: usize,
    /// Those with a title.
    pub titled: usize,
    /// Characters of all texts.
    pub characters: u64,
    /// Those with title and text of one before them.
    pub exact_copies: usize,
    /// Of the sample: those that share 80 % of their words in threes with one before them, and are no exact copies.
    pub near_copies: usize,
    /// Files and rows that were passed over.
    pub skipped: usize,
}

/// What documents are read with.
pub(crate) struct Reading {
    tokenizer: TextTokenizer,
    window_tokens: usize,
    overlap_tokens: usize,
    trained_tokens: Option<usize>,
    max_tokens: usize,
    /// Ids of a row beside title and text.
    reserved_tokens: usize,
    /// Most passages to foresee.
    passages: usize,
    seed: u64,
}

/// Measures a collection. None when it was interrupted.
///
/// Documents are read once and none is kept, so memory does not grow with their texts: of each, 32 bytes are remembered, and of
/// each in the sample its length and a sketch of 2 kB.
///
/// # Errors
/// `NothingToIndex` when there is no document; paths that do not exist, a model that is not installed, a damaged index.
pub fn domain_report(
    home: &Home,
    options: &DomainOptions,
    progress: &mut dyn Progress,
    cancel: &AtomicBool,
) -> Result<Option<DomainReport>, Error> {
    let started = Instant::now();
    let settings = match &options.index {
        // One that a file or a variable names may still be to be made of these paths.
        Some(index) if options.paths.is_empty() || berth_index::exists(index) => {
            Some(IndexReader::open(index)?.snapshot().settings().clone())
        }
        _ => None,
    };
    let choice = match &settings {
        Some(settings) => choice_for(&options.encoder, &settings.fingerprint),
        None => options.encoder.clone(),
    };
    let model = installed(home, choice.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
    let perplexity_unavailable = match options.sample_passages {
        0 => Some("not asked for".to_owned()),
        _ => perplexity::lacking_head(home, &model),
    };
    let card = with_known_claims(model.card());
    let cutting = settings.as_ref().map(|settings| (settings.window_tokens, settings.overlap_tokens));
    let mut reading = reading(&model, &card, options, cutting)?;
    reading.passages = if perplexity_unavailable.is_none() { options.sample_passages } else { 0 };

    let documents = Documents::find(&options.paths, options.index.as_ref(), options.follow_links)?;
    let mut measuring = Measuring::new(&reading, options);
    let skipped = documents.read(progress, cancel, &mut |document| measuring.take(document))?;
    if cancel.load(Ordering::Relaxed) {
        return Ok(None);
    }
    measuring.measure_batch()?;
    let Measuring { mut documents, levels, .. } = measuring;
    documents.skipped = skipped.total();
    if documents.documents == 0 {
        let path = options.paths.first().or(options.index.as_ref()).cloned().unwrap_or_default();
        return Err(Error::NothingToIndex { path });
    }
    documents.sampled = levels.documents();
    let mut tally = Tally::default();
    for counted in levels.into_counted() {
        tally.append(counted, reading.passages);
    }
    documents.near_copies = copies::near_copies(&tally.sketches);
    let perplexity = if reading.passages == 0 {
        None
    } else {
        progress.stage(&format!("asking the model to foresee {} passages", tally.passages.len()));
        perplexity::measure(home, &choice, &tally.passages, cancel)?
    };
    if cancel.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let too_short = || "no document is long enough to foresee its words".to_owned();
    let perplexity_unavailable = perplexity_unavailable.or_else(|| perplexity.is_none().then(too_short));

    let model = ModelFigures {
        name: card.name.clone(),
        vocabulary: reading.tokenizer.vocabulary_size(),
        window_tokens: reading.window_tokens,
        trained_tokens: reading.trained_tokens,
        max_tokens: reading.max_tokens,
        languages: card.languages.clone(),
    };
    let vocabulary = figures::vocabulary(&tally, &reading, options.split_words)?;
    let lengths = figures::lengths(&tally, &reading);
    let languages = figures::languages(&tally.languages, &card.languages);
    let verdict = verdict::judge(&verdict::Figures {
        model: &model,
        documents: &documents,
        vocabulary: &vocabulary,
        lengths: &lengths,
        languages: &languages,
    });
    Ok(Some(DomainReport {
        verdict,
        model,
        documents,
        vocabulary,
        lengths,
        languages,
        perplexity,
        perplexity_unavailable,
        skipped_by_reason: skipped,
        seed: options.seed,
        version: env!("CARGO_PKG_VERSION"),
        seconds: started.elapsed().as_secs_f64(),
    }))
}

/// The card, with what a card that comes with Berth says of the same files and an older one on the disk does not.
fn with_known_claims(card: &ModelCard) -> ModelCard {
    let mut card = card.clone();
    let known = embedded_cards().into_iter().find(|known| known.name == card.name && known.files == card.files);
    if let Some(known) = known {
        card.trained_tokens = card.trained_tokens.or(known.trained_tokens);
        if card.languages.is_empty() {
            card.languages = known.languages;
        }
    }
    card
}

/// How documents are read, checked.
fn reading(
    model: &InstalledModel,
    card: &ModelCard,
    options: &DomainOptions,
    cutting: Option<(usize, usize)>,
) -> Result<Reading, Error> {
    let tokenizer = TextTokenizer::of(model, Head::Sentence)?;
    let reserved_tokens = tokenizer.special_tokens() + tokenizer.tokenize(&card.prompts.passage)?.ids.len();
    let window_tokens =
        options.window_tokens.or(cutting.map(|(window, _)| window)).unwrap_or(card.recommended_window_tokens);
    if !(reserved_tokens + 8..=card.max_tokens).contains(&window_tokens) {
        return Err(Error::InvalidSettings(format!(
            "a window has {} to {} tokens with {}, not {window_tokens}",
            reserved_tokens + 8,
            card.max_tokens,
            card.name
        )));
    }
    Ok(Reading {
        tokenizer,
        window_tokens,
        overlap_tokens: cutting.map_or(DEFAULT_OVERLAP_TOKENS.min(window_tokens / 4), |(_, overlap)| overlap),
        trained_tokens: card.trained_tokens,
        max_tokens: card.max_tokens,
        reserved_tokens,
        passages: 0,
        seed: options.seed,
    })
}

/// A document that was drawn for the sample.
struct Drawn {
    place: u64,
    level: u32,
    is_copy: bool,
    document: Document,
}

/// Counts documents as they come; those of the sample on all cores.
struct Measuring<'a> {
    reading: &'a Reading,
    documents: DocumentFigures,
    /// Of texts that are not empty, with their titles.
    hashes: HashSet<[u8; 16]>,
    levels: Levels<Tally>,
    batch: Vec<Drawn>,
    batch_bytes: usize,
}

impl<'a> Measuring<'a> {
    fn new(reading: &'a Reading, options: &DomainOptions) -> Self {
        Self {
            reading,
            documents: DocumentFigures::default(),
            hashes: HashSet::new(),
            levels: Levels::new(options.sample_documents, options.seed),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    fn take(&mut self, document: Document) -> Result<(), Error> {
        let place = self.documents.documents as u64;
        self.documents.documents += 1;
        self.documents.characters += document.text.chars().count() as u64;
        self.documents.titled += usize::from(!document.title.trim().is_empty());
        let is_empty = document.text.trim().is_empty();
        self.documents.empty += usize::from(is_empty);
        let is_copy = !is_empty && !self.hashes.insert(short_hash(&[&document.title, &document.text]));
        self.documents.exact_copies += usize::from(is_copy);
        if let Some(level) = self.levels.level_of(place) {
            self.batch_bytes += document.text.len();
            self.batch.push(Drawn { place, level, is_copy, document });
        }
        if self.batch.len() >= BATCH_DOCUMENTS || self.batch_bytes >= BATCH_BYTES {
            self.measure_batch()?;
        }
        Ok(())
    }

    fn measure_batch(&mut self) -> Result<(), Error> {
        self.batch_bytes = 0;
        let reading = self.reading;
        let counted: Vec<(u32, Tally)> = std::mem::take(&mut self.batch)
            .into_par_iter()
            .map(|drawn| Ok((drawn.level, Tally::of(drawn.place, &drawn.document, drawn.is_copy, reading)?)))
            .collect::<Result<_, Error>>()?;
        // In the order of the documents, whichever thread read them.
        for (level, tally) in counted {
            self.levels.count(level, |all| all.append(tally, reading.passages));
        }
        Ok(())
    }
}
