//! Labels of a classifier, and how their scores are read.

use std::path::Path;

use berth_types::Problem;
use serde_json::Value;

use crate::Error;
use crate::sentence::{SETTINGS, read_json};

const CONFIG: &str = "config.json";
const PROBLEMS: &[&str] = &["single_label_classification", "multi_label_classification", "regression"];
/// Functions that a cross-encoder may put over its scores.
const ACTIVATIONS: &[&str] = &["Identity", "Sigmoid", "Softmax"];

/// The labels of `config`, in the order of the scores, which are `count`. Where none are named they are numbered.
///
/// # Errors
/// `ConfigValue` when the labels have gaps, or are not as many as the scores.
pub(crate) fn read(checkpoint: &Path, config: &Value, count: usize) -> Result<Vec<String>, Error> {
    let Value::Object(named) = &config["id2label"] else {
        return Ok((0..count).map(|number| format!("LABEL_{number}")).collect());
    };
    let labels: Option<Vec<String>> = (0..count)
        .map(|number| match named.get(&number.to_string()) {
            Some(Value::String(label)) => Some(label.clone()),
            Some(Value::Number(label)) => Some(label.to_string()),
            _ => None,
        })
        .collect();
    labels.filter(|_| named.len() == count).ok_or_else(|| Error::ConfigValue {
        path: checkpoint.join(CONFIG),
        field: "id2label".into(),
        value: config["id2label"].to_string(),
        expected: format!("a label for each of the {count} scores of the weights, numbered from 0 without gaps"),
    })
}

/// Number of the labels that `config` names.
pub(crate) fn named(config: &Value) -> Option<usize> {
    config["id2label"].as_object().map(serde_json::Map::len)
}

/// How the scores are read: as a cross-encoder's settings say, else as `problem_type` says, else one score by a sigmoid
/// and several by softmax, as transformers and sentence-transformers both do.
///
/// # Errors
/// `Unsupported` for another activation or problem.
pub(crate) fn problem(checkpoint: &Path, config: &Value, count: usize) -> Result<Problem, Error> {
    let settings = read_json(checkpoint, SETTINGS)?.unwrap_or_default();
    let places = [
        (SETTINGS, &settings["activation_fn"]),
        (CONFIG, &config["sentence_transformers"]["activation_fn"]),
        (CONFIG, &config["sbert_ce_default_activation_function"]),
    ];
    let said = places.into_iter().find_map(|(file, value)| Some((file, value.as_str()?)));
    if let Some((file, activation)) = said {
        return Ok(match activation.rsplit('.').next().unwrap_or_default() {
            "Identity" => Problem::Regression,
            "Sigmoid" => Problem::MultiLabel,
            "Softmax" => Problem::SingleLabel,
            other => {
                let (path, value) = (checkpoint.join(file), other.to_owned());
                return Err(Error::Unsupported { path, field: "activation_fn", value, supported: ACTIVATIONS });
            }
        });
    }
    match config["problem_type"].as_str() {
        Some("single_label_classification") => Ok(Problem::SingleLabel),
        Some("multi_label_classification") => Ok(Problem::MultiLabel),
        Some("regression") => Ok(Problem::Regression),
        Some(other) => {
            let (path, value) = (checkpoint.join(CONFIG), other.to_owned());
            Err(Error::Unsupported { path, field: "problem_type", value, supported: PROBLEMS })
        }
        None if count == 1 => Ok(Problem::MultiLabel),
        None => Ok(Problem::SingleLabel),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_stand_in_the_order_of_their_numbers() {
        let config = json!({"id2label": {"10": "k", "2": "c", "0": "a", "1": "b", "3": "d", "4": "e", "5": "f", "6": "g",
            "7": "h", "8": "i", "9": "j"}});
        assert_eq!(read(Path::new(""), &config, 11).unwrap().concat(), "abcdefghijk");
        assert_eq!(read(Path::new(""), &json!({}), 2).unwrap(), ["LABEL_0", "LABEL_1"]);
    }

    #[test]
    fn labels_with_gaps_or_too_many_are_refused() {
        for (named, count) in
            [(json!({"0": "a", "2": "c"}), 2), (json!({"0": "a", "1": "b"}), 1), (json!({"0": [1]}), 1)]
        {
            let error = read(Path::new(""), &json!({ "id2label": named }), count).unwrap_err().to_string();
            assert!(error.contains("id2label") && error.contains("without gaps"), "{error}");
        }
    }

    #[test]
    fn scores_are_read_as_the_folder_says() {
        let problem = |config: Value, count| problem(Path::new("nowhere"), &config, count).unwrap();
        assert_eq!(problem(json!({}), 1), Problem::MultiLabel);
        assert_eq!(problem(json!({}), 3), Problem::SingleLabel);
        assert_eq!(problem(json!({"problem_type": "regression"}), 1), Problem::Regression);
        assert_eq!(problem(json!({"problem_type": "multi_label_classification"}), 3), Problem::MultiLabel);
        let older = json!({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"});
        assert_eq!(problem(older, 1), Problem::Regression);
        let newer = json!({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}});
        assert_eq!(problem(newer, 1), Problem::MultiLabel);
    }

    #[test]
    fn other_activations_are_refused_by_name() {
        let config = json!({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}});
        let error = problem(Path::new("nowhere"), &config, 1).unwrap_err().to_string();
        assert!(error.contains("\"Tanh\"") && error.contains("Identity, Sigmoid, Softmax"), "{error}");
    }
}
