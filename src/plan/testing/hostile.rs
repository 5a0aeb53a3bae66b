//! Random changes of valid objects, as an attacker or a damaged backup would make them; the same ones for the same seed.

use serde_json::{Map, Value, json};

use super::{Cluster, Command, Controllers};
use crate::resources::Object;

/// Knuth's generator (MMIX).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = usize::try_from(self.0 >> 33).unwrap();
        high % limit.max(1)
    }

    fn value(&mut self) -> Value {
        let texts = [
            "",
            "..",
            "../x",
            "*",
            "a/b/c",
            "-----BEGIN CERTIFICATE-----",
            "\u{1b}[2J\u{202e}",
            "2026-99-99T00:00:00Z",
            "99999999999999999999",
            "configmap://a/b",
        ];
        match self.below(9) {
            0 => Value::Null,
            1 => json!(-1),
            2 => json!(1e300),
            3 => json!(true),
            4 => json!([]),
            5 => json!({}),
            6 => json!("a".repeat(70_000)),
            7 => json!([[{"a": [null, {"b": 1}]}], 7, "x"]),
            _ => json!(texts[self.below(texts.len())]),
        }
    }

    /// Changes, removes or repeats something in the value.
    pub fn damage(&mut self, value: &mut Value) {
        let goes_deeper = self.below(5) > 0;
        match value {
            Value::Object(fields) if goes_deeper && !fields.is_empty() => self.damage_field(fields),
            Value::Array(items) if goes_deeper && !items.is_empty() => {
                let at = self.below(items.len());
                match self.below(6) {
                    0 => drop(items.remove(at)),
                    1 => items.push(items[at].clone()),
                    _ => self.damage(&mut items[at]),
                }
            }
            Value::String(text) if goes_deeper && !text.is_empty() => {
                let mut bytes = text.clone().into_bytes();
                let at = self.below(bytes.len());
                bytes[at] = u8::try_from(self.below(128)).unwrap();
                bytes.truncate(bytes.len() - self.below(2) * self.below(bytes.len()));
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            other => *other = self.value(),
        }
    }

    fn damage_field(&mut self, fields: &mut Map<String, Value>) {
        let at = self.below(fields.len());
        let Some(name) = fields.keys().nth(at).cloned() else {
            return;
        };
        if self.below(8) == 0 {
            fields.shift_remove(&name);
        } else if let Some(field) = fields.get_mut(&name) {
            self.damage(field);
        }
    }

    /// The object with some damage; as it is where it would not be an object any more.
    pub fn damaged(&mut self, object: &Object) -> Object {
        let mut body = object.body().clone();
        for _ in 0..=self.below(3) {
            let parts = ["spec", "data", "status", "metadata"];
            if let Some(part) = body.get_mut(parts[self.below(parts.len())]) {
                self.damage(part);
            }
        }
        let damaged = Object::from_server(object.reference().kind, body);
        damaged.unwrap_or_else(|| object.clone())
    }
}

/// How many damaged clusters a test looks at: few in each run of all tests, more where somebody asks for them.
pub fn rounds(few: u64) -> u64 {
    option_env!("HOSTILE_ROUNDS")
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(few)
}

/// Runs a command on clusters in each of which some objects were damaged: it ends, with a report or a refusal. Tells how many refused.
pub fn refusals<C: Command>(healthy: &Cluster, command: &C) -> usize {
    let all: Vec<&Object> = healthy.objects.values().collect();
    let refuses = |seed: &u64| {
        let mut random = Random::new(*seed);
        let mut cluster = healthy.clone();
        // No controller of the real ones gets such an object.
        cluster.controllers = Controllers::default();
        for _ in 0..=random.below(2) {
            let object = all[random.below(all.len())];
            let damaged = random.damaged(object);
            cluster.objects.insert(damaged.reference().clone(), damaged);
        }
        cluster.run(command).is_err()
    };
    (0..rounds(40)).filter(refuses).count()
}
