//! The machine: locals, globals, control flow and calls.
//!
//! Law: what is not an instruction of its own goes to `memories.rs`, `tables.rs`, `numeric.rs` and
//! `lanes.rs`, in this order; what none of them knows is a fault and ends the test.

use std::sync::Arc;

use wasmparser::{BlockType, Operator};

use crate::memories;
use crate::module::{Body, Instruction};
use crate::numeric::{self, pop};
use crate::store::{Code, Store};
use crate::value::{Stop, Value};
use crate::{lanes, tables};

/// Calls within each other.
const DEEPEST: usize = 200;

/// Where a branch goes, and what it takes along.
#[derive(Clone, Copy)]
struct Label {
    to: usize,
    arity: usize,
    height: usize,
}

/// A function at work.
struct Frame {
    locals: Vec<Value>,
    stack: Vec<Value>,
    labels: Vec<Label>,
    /// The next instruction.
    at: usize,
}

impl Frame {
    fn branch(&mut self, depth: u32) {
        let place = self.labels.len() - 1 - depth as usize;
        let label = self.labels[place];
        self.labels.truncate(place);
        let taken = self.stack.split_off(self.stack.len() - label.arity);
        self.stack.truncate(label.height);
        self.stack.extend(taken);
        self.at = label.to;
    }

    fn enter(&mut self, to: usize, parameters: usize, arity: usize) {
        self.labels.push(Label { to, arity, height: self.stack.len() - parameters });
    }
}

impl Store {
    /// Calls a function.
    pub(crate) fn call(&mut self, function: usize, given: Vec<Value>) -> Result<Vec<Value>, Stop> {
        let (instance, body, arity) = match &self.functions[function].code {
            Code::Body { instance, body } => {
                (*instance, Arc::clone(body), self.functions[function].of.results().len())
            }
            Code::Host => return Ok(Vec::new()),
        };
        if self.depth == DEEPEST {
            return Err(Stop::Trap("call stack exhausted"));
        }
        self.depth += 1;
        let mut locals = given;
        locals.extend(body.locals.iter().map(|of| Value::zero(*of)));
        let outcome = self.run(instance, &body, locals, arity);
        self.depth -= 1;
        outcome
    }

    /// The one value of a constant expression.
    pub(crate) fn constant(&mut self, instance: usize, body: &Body) -> Result<Value, Stop> {
        let values = self.run(instance, body, Vec::new(), 1)?;
        Ok(values[0])
    }

    fn run(
        &mut self,
        instance: usize,
        body: &Body,
        locals: Vec<Value>,
        arity: usize,
    ) -> Result<Vec<Value>, Stop> {
        let whole = Label { to: body.code.len(), arity, height: 0 };
        let mut frame = Frame { locals, stack: Vec::new(), labels: vec![whole], at: 0 };
        while let Some(instruction) = body.code.get(frame.at) {
            let at = frame.at;
            frame.at += 1;
            match instruction {
                Instruction::Access(access) => {
                    let memory = self.instances[instance].memory(access.memory);
                    let spot = (memory.number, std::ptr::from_ref(body).addr(), at);
                    memories::access(&mut self.daemon, &memory, access, &mut frame.stack, spot)?;
                }
                Instruction::Plain(operator) => {
                    if !self.control(instance, body, operator, &mut frame, at)? {
                        self.plain(instance, operator, &mut frame)?;
                    }
                }
            }
        }
        Ok(frame.stack)
    }

    /// Carries an instruction of control out; false where it is none.
    fn control(
        &mut self,
        instance: usize,
        body: &Body,
        operator: &Operator<'static>,
        frame: &mut Frame,
        at: usize,
    ) -> Result<bool, Stop> {
        match operator {
            Operator::Nop => {}
            Operator::Unreachable => return Err(Stop::Trap("unreachable")),
            Operator::Block { blockty } => {
                let (parameters, results) = self.arity(instance, *blockty);
                frame.enter(body.ends[at] + 1, parameters, results);
            }
            Operator::Loop { blockty } => {
                // A branch to it takes its parameters and begins it anew, label and all.
                let (parameters, _) = self.arity(instance, *blockty);
                frame.enter(at, parameters, parameters);
            }
            Operator::If { blockty } => {
                let condition: u32 = pop(&mut frame.stack);
                let (parameters, results) = self.arity(instance, *blockty);
                frame.enter(body.ends[at] + 1, parameters, results);
                if condition == 0 {
                    // The end itself closes the block where there is no else.
                    frame.at = body.elses[at].map_or(body.ends[at], |other| other + 1);
                }
            }
            // Met only at the end of what stands before it.
            Operator::Else => frame.at = body.ends[at],
            Operator::End => {
                frame.labels.pop();
            }
            Operator::Br { relative_depth } => frame.branch(*relative_depth),
            Operator::BrIf { relative_depth } => {
                if pop::<u32>(&mut frame.stack) != 0 {
                    frame.branch(*relative_depth);
                }
            }
            Operator::BrTable { targets } => {
                let chosen: u32 = pop(&mut frame.stack);
                let mut depths = targets.targets();
                let depth = depths.nth(chosen as usize).unwrap_or(Ok(targets.default()));
                frame.branch(depth.map_err(Stop::fault)?);
            }
            Operator::Return => {
                let outermost = frame.labels.len() - 1;
                frame.branch(u32::try_from(outermost).map_err(Stop::fault)?);
            }
            Operator::Call { function_index } => {
                let function = self.instances[instance].functions[*function_index as usize];
                self.call_from(frame, function)?;
            }
            Operator::CallIndirect { type_index, table_index } => {
                let place: u32 = pop(&mut frame.stack);
                let function =
                    self.called_indirectly(instance, *type_index, *table_index, place)?;
                self.call_from(frame, function)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn call_from(&mut self, frame: &mut Frame, function: usize) -> Result<(), Stop> {
        let count = self.functions[function].of.params().len();
        let given = frame.stack.split_off(frame.stack.len() - count);
        frame.stack.extend(self.call(function, given)?);
        Ok(())
    }

    fn arity(&self, instance: usize, block: BlockType) -> (usize, usize) {
        match block {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(place) => {
                let of = &self.instances[instance].types[place as usize];
                (of.params().len(), of.results().len())
            }
        }
    }

    fn plain(
        &mut self,
        instance: usize,
        operator: &Operator<'static>,
        frame: &mut Frame,
    ) -> Result<(), Stop> {
        let Frame { locals, stack, .. } = frame;
        match operator {
            Operator::Drop => drop(stack.pop()),
            Operator::Select | Operator::TypedSelect { .. } => {
                let condition: u32 = pop(stack);
                let second = stack.pop().expect("validated");
                if condition == 0 {
                    *stack.last_mut().expect("validated") = second;
                }
            }
            Operator::LocalGet { local_index } => stack.push(locals[*local_index as usize]),
            Operator::LocalSet { local_index } => {
                locals[*local_index as usize] = stack.pop().expect("validated");
            }
            Operator::LocalTee { local_index } => {
                locals[*local_index as usize] = *stack.last().expect("validated");
            }
            Operator::GlobalGet { global_index } => {
                let place = self.instances[instance].globals[*global_index as usize];
                stack.push(self.globals[place].value);
            }
            Operator::GlobalSet { global_index } => {
                let place = self.instances[instance].globals[*global_index as usize];
                self.globals[place].value = stack.pop().expect("validated");
            }
            Operator::RefNull { hty } => stack.push(match *hty {
                wasmparser::HeapType::EXTERN => Value::Extern(None),
                _ => Value::Func(None),
            }),
            Operator::RefFunc { function_index } => {
                let function = self.instances[instance].functions[*function_index as usize];
                stack.push(Value::Func(Some(function)));
            }
            Operator::RefIsNull => {
                let reference = stack.pop().expect("validated");
                let is_null = matches!(reference, Value::Func(None) | Value::Extern(None));
                stack.push(Value::I32(is_null.into()));
            }
            other => {
                let place = &mut self.instances[instance];
                let known = memories::whole(&mut self.daemon, place, &self.spare, other, stack)?
                    || tables::table(&mut self.tables, place, other, stack)?
                    || numeric::numeric(other, stack)?
                    || lanes::lanes(other, stack);
                if !known {
                    return Err(Stop::Fault(format!("the instruction {other:?} is not known")));
                }
            }
        }
        Ok(())
    }
}
