//! In which language each document is.

use berth_types::{Document, DocumentRecord, Language};

use super::IndexWriter;
use crate::Error;
use crate::analysis::{Analysis, detect, is_source_file};
use crate::schema::DocumentLanguage;

impl IndexWriter {
    /// Says in which language the documents to come are, instead of telling it by their texts. An index that was made
    /// before there were languages takes all for English.
    pub fn set_language(&mut self, language: Option<Language>) {
        self.language = language;
    }

    /// How a document is analysed; remembered, so that questions are analysed that way too.
    pub(super) fn language_of(
        &mut self,
        document: &Document,
        record: &DocumentRecord,
    ) -> Result<DocumentLanguage, Error> {
        if self.schema.languages.is_none() {
            return Ok(DocumentLanguage { analysis: Analysis::ENGLISH, code: None });
        }
        let there = self.taken_over.as_ref().map(|there| there.lookup().language_of(&document.id)).transpose()?;
        let (language, code) = if let Some(language) = self.language.or(there.flatten()) {
            (Some(language), Some(language.code()))
        } else {
            let detected = detect(&document.title, &document.text);
            (detected.stems, detected.code)
        };
        let analysis = Analysis { language, identifiers: is_source_file(&record.file) };
        self.analyses.insert(analysis);
        Ok(DocumentLanguage { analysis, code })
    }
}
