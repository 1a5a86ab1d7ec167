//! [`mutate`]: an input that is messages, changed in one place as whoever writes messages might.
//!
//! libFuzzer alone changes bytes; in a message of lengths within lengths most of that is refused at the
//! first of them. Half of all mutations are still its own, and so are those of a field's bytes: what it
//! has learnt of comparisons and words goes in there.
//!
//! Law: what comes of it depends on the input, the seed and what the fuzzer makes of bytes, on nothing else.

use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::script;
use crate::tree::{Field, Fields, Value};

/// Bytes of a page of memory.
const PAGE: u64 = 1 << 16;

/// What a target's inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No messages, or not only.
    Bytes,
    /// A kind and one message.
    Message,
    /// Several, as `script.rs` has them.
    Messages,
}

/// What the fuzzer makes of bytes by its own means.
pub type Blind<'a> = &'a mut dyn FnMut(&[u8]) -> Vec<u8>;

/// The input, changed as messages; none where the fuzzer is to change it as bytes.
pub fn mutate(form: Form, input: &[u8], seed: u32, blind: Blind<'_>) -> Option<Vec<u8>> {
    let random = &mut StdRng::seed_from_u64(u64::from(seed));
    match form {
        Form::Bytes => None,
        _ if random.random() => None,
        Form::Message => input.split_first().and_then(|(kind, message)| {
            let message = in_message(message, random, blind)?;
            Some([&[*kind], &message[..]].concat())
        }),
        Form::Messages => in_messages(input, random, blind),
    }
}

fn in_messages(input: &[u8], random: &mut StdRng, blind: Blind<'_>) -> Option<Vec<u8>> {
    let mut calls: Vec<(u8, Vec<u8>)> =
        script::calls(input).map(|(kind, bytes)| (kind, bytes.to_vec())).collect();
    if calls.is_empty() {
        return None;
    }
    let [at, other] = [(); 2].map(|()| random.random_range(0..calls.len()));
    match random.random_range(0..8) {
        0 => calls.insert(other, calls[at].clone()),
        1 if calls.len() > 1 => drop(calls.remove(at)),
        2 => calls.swap(at, other),
        3 => calls[at].0 = random.random(),
        _ => calls[at].1 = in_message(&calls[at].1, random, blind)?,
    }
    let fit = calls.iter().all(|(_, bytes)| bytes.len() <= usize::from(u16::MAX));
    fit.then(|| script::all(&calls))
}

/// A message with one change, however deep; none where these bytes are no message.
fn in_message(bytes: &[u8], random: &mut StdRng, blind: Blind<'_>) -> Option<Vec<u8>> {
    let mut fields = Fields::parse(bytes)?;
    let fields_of = &mut fields.0;
    let at = random.random_range(0..fields_of.len().max(1));
    match random.random_range(0..16) {
        0 => fields_of.insert(at, fields_of.get(at)?.clone()),
        1 => drop((at < fields_of.len()).then(|| fields_of.remove(at))?),
        2 => {
            let other = random.random_range(0..fields_of.len().max(1));
            (at < fields_of.len()).then(|| fields_of.swap(at, other))?;
        }
        // Fields that have not been set yet are as often what is wanted as others are.
        3 | 4 => {
            let number = random.random_range(1..16);
            let value = match random.random_range(0..4) {
                0 => Value::Bytes(Vec::new()),
                1 => Value::Bytes(vec![b'a'; random.random_range(1..8)]),
                _ => Value::Varint(boundary(0, random)),
            };
            fields_of.insert(at, Field { number, value });
        }
        5 => fields_of.get_mut(at)?.number = random.random_range(1..16),
        6 if numbers(fields_of).count() > 1 => end_together(fields_of, random)?,
        _ => change(&mut fields_of.choose_mut(random)?.value, random, blind),
    }
    Some(fields.encode())
}

fn change(value: &mut Value, random: &mut StdRng, blind: Blind<'_>) {
    let mut number = |value: u64| {
        if random.random() {
            return boundary(value, random);
        }
        let mut bytes = blind(&value.to_le_bytes());
        bytes.resize(8, 0);
        u64::from_le_bytes(bytes.try_into().expect("eight"))
    };
    match value {
        Value::Varint(value) | Value::Fixed64(value) => *value = number(*value),
        Value::Fixed32(value) => *value = number(u64::from(*value)) as u32,
        // Lengths have ends as numbers do.
        Value::Bytes(bytes) if random.random_ratio(1, 8) => {
            bytes.resize(random.random_range(0..300), b'a');
        }
        Value::Bytes(bytes) => {
            let deeper =
                if bytes.is_empty() { None } else { in_message(bytes, random, &mut *blind) };
            *bytes = deeper.unwrap_or_else(|| blind(bytes));
        }
    }
}

/// Makes one number what another lacks of where something may end, or of a place beside it: an offset and
/// a length that come to the end of a page, to a power of two, or once around.
fn end_together(fields: &mut [Field], random: &mut StdRng) -> Option<()> {
    let mut all: Vec<&mut u64> = numbers(fields).collect();
    let (chosen, others) = all.partial_shuffle(random, 1);
    let end = match random.random_range(0..4) {
        0 => 1 << random.random_range(0..64),
        1 => 0,
        _ => PAGE * random.random_range(1..=4),
    };
    let beside = *[0, 0, 1, u64::MAX].choose(random)?;
    **chosen.first_mut()? = end.wrapping_add(beside).wrapping_sub(**others.first()?);
    Some(())
}

fn numbers(fields: &mut [Field]) -> impl Iterator<Item = &mut u64> {
    fields.iter_mut().filter_map(|field| match &mut field.value {
        Value::Varint(number) => Some(number),
        _ => None,
    })
}

/// A number at which something may end, or one beside `value`.
fn boundary(value: u64, random: &mut StdRng) -> u64 {
    let power = 1_u64 << random.random_range(0..64);
    let choices = [
        0,
        1,
        u64::MAX,
        power,
        power - 1,
        power + 1,
        power.wrapping_neg(),
        value.wrapping_add(1),
        value.wrapping_sub(1),
        value ^ power,
        value.wrapping_neg(),
    ];
    *choices.choose(random).expect("there are some")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::TARGETS;

    /// A message in a message in a message, as a seed has it.
    fn nested() -> Vec<u8> {
        let leaf = Field { number: 1, value: Value::Varint(7) };
        let middle = Field { number: 2, value: Value::Bytes(Fields(vec![leaf.clone()]).encode()) };
        Fields(vec![Field { number: 3, value: Value::Bytes(Fields(vec![middle, leaf]).encode()) }])
            .encode()
    }

    #[test]
    fn a_change_within_messages_leaves_all_around_it_whole() {
        let (input, mut deep) = (nested(), 0);
        for seed in 0..10_000 {
            let mut blind = |bytes: &[u8]| [bytes, &[1]].concat();
            let random = &mut StdRng::seed_from_u64(seed);
            let changed = in_message(&input, random, &mut blind).expect("it is one");
            let fields = Fields::parse(&changed).expect("still one");
            assert_eq!(fields.encode(), changed);
            deep += u32::from(fields.0.len() == 1 && changed != input);
        }
        assert!(deep > 4_000, "{deep} changes were within");
    }

    #[test]
    fn an_offset_and_a_length_come_to_the_end_of_a_page() {
        let number = |number, value| Field { number, value: Value::Varint(value) };
        let input = Fields(vec![number(3, 4_000), number(4, 16)]).encode();
        let ends = (0..100_000).filter(|seed| {
            let random = &mut StdRng::seed_from_u64(*seed);
            let changed = in_message(&input, random, &mut |bytes: &[u8]| bytes.to_vec());
            let fields = changed.and_then(|changed| Fields::parse(&changed));
            let sum = fields.map(|fields| {
                let values = fields.0.iter().map(|field| match field.value {
                    Value::Varint(value) => value,
                    _ => 0,
                });
                values.fold(0, u64::wrapping_add)
            });
            sum == Some(1 << 16)
        });
        let ends = ends.count();
        assert!(ends > 10, "{ends} of 100,000 end there");
    }

    #[test]
    fn the_same_seed_makes_the_same_change() {
        let input = script::all(&[(3, nested()), (4, nested())]);
        for seed in 0..1_000 {
            let [one, other] = [(); 2]
                .map(|()| mutate(Form::Messages, &input, seed, &mut |bytes: &[u8]| bytes.to_vec()));
            assert_eq!(one, other);
        }
    }

    #[test]
    fn every_input_can_be_changed() {
        for target in TARGETS {
            for input in [&[][..], &[0], &[0; 5], &[0xFF; 40]] {
                for seed in 0..100 {
                    mutate(target.form, input, seed, &mut |bytes: &[u8]| bytes.to_vec());
                }
            }
        }
    }
}
