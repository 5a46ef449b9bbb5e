//! How often a key, or an address, may ask: a bucket of tokens each that fills at a steady rate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Buckets that are kept before full ones are dropped.
const MANY: usize = 10_000;

/// The buckets.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    buckets: Mutex<HashMap<Arc<str>, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    per_second: f64,
}

impl Bucket {
    fn fill(&mut self, per_second: f64, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * per_second).min(per_second);
        (self.at, self.per_second) = (now, per_second);
    }
}

impl Rates {
    /// Takes a token of `who`, who has `per_second`, and as many at once.
    ///
    /// # Errors
    /// The time until there is one again.
    pub(crate) fn take(&self, who: &Arc<str>, per_second: u32, now: Instant) -> Result<(), Duration> {
        let per_second = f64::from(per_second.max(1));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY && !buckets.contains_key(who) {
            // One that is full says no more than one that is not there.
            buckets.retain(|_, bucket| {
                bucket.fill(bucket.per_second, now);
                bucket.tokens < bucket.per_second
            });
        }
        let bucket = buckets.entry(Arc::clone(who)).or_insert(Bucket { tokens: per_second, at: now, per_second });
        bucket.fill(per_second, now);
        if bucket.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_rate_and_no_other_keys() {
        let (rates, start) = (Rates::default(), Instant::now());
        let (one, other): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!((0..5).all(|_| rates.take(&one, 5, start).is_ok()));
        let wait = rates.take(&one, 5, start).unwrap_err();
        assert!((wait.as_secs_f64() - 0.2).abs() < 1e-6, "{wait:?}");
        assert!(rates.take(&other, 5, start).is_ok());
        assert!(rates.take(&one, 5, start + wait).is_ok());
        assert!(rates.take(&one, 5, start + wait).is_err());
        let later = start + Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| rates.take(&one, 5, later).is_ok()).count(), 5);
    }

    #[test]
    fn buckets_of_those_that_left_are_dropped() {
        let (rates, start) = (Rates::default(), Instant::now());
        for number in 0..MANY {
            rates.take(&number.to_string().into(), 10, start).unwrap();
        }
        rates.take(&"new".into(), 10, start + Duration::from_secs(2)).unwrap();
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }
}
