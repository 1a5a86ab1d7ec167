//! One official file, from its first directive to its last.
//!
//! Law: a directive of a kind that is not known is a failure, as an assertion that does not hold is; a
//! script goes on behind either. How a module is invalid is said by the validator in its own words,
//! which are not compared; how an instruction traps and an import does not fit is.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use linmemd::client::Endpoint;
use wasmparser::WasmFeatures;
use wast::parser::{self, ParseBuffer};
use wast::token::Id;
use wast::{
    QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, WastThread, Wat,
};

use crate::calls::{Counts, Daemon};
use crate::module::{self, Module};
use crate::store::{Extern, Instance, Refusal, Store};
use crate::value::{Stop, Value};

/// What came of a file.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) run: usize,
    pub(crate) passed: usize,
    /// Modules that were made instances of.
    pub(crate) modules: usize,
    /// Each with its line.
    pub(crate) failures: Vec<String>,
    pub(crate) counts: Counts,
}

/// A thread of a script's, which may have threads itself.
struct Script {
    store: Store,
    text: &'static str,
    features: WasmFeatures,
    instances: HashMap<String, usize>,
    last: Option<usize>,
    definitions: HashMap<String, Arc<Module>>,
    last_definition: Option<Arc<Module>>,
    threads: HashMap<String, JoinHandle<Outcome>>,
    outcome: Outcome,
}

/// Room for the interpreter's own stack where a script's functions call each other.
const STACK_BYTES: usize = 64 << 20;

/// Starts a thread with room to call.
pub(crate) fn spawn<T: Send + 'static>(does: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(does).expect("a thread")
}

/// Runs a file.
pub(crate) fn run(endpoint: &Endpoint, text: String, features: WasmFeatures) -> Outcome {
    // As module.rs keeps modules: their names and strings point in here.
    let text: &'static str = text.leak();
    let buffer: &'static ParseBuffer<'static> =
        Box::leak(Box::new(ParseBuffer::new(text).expect("tokens")));
    let wast = parser::parse::<Wast<'static>>(buffer).expect("a whole file of tests");
    let script = Script::new(endpoint, text, features).expect("spectest's own memories");
    script.directives(wast.directives)
}

impl Script {
    fn new(endpoint: &Endpoint, text: &'static str, features: WasmFeatures) -> Result<Self, Stop> {
        Ok(Self {
            store: Store::new(Daemon::connect(endpoint))?,
            text,
            features,
            instances: HashMap::new(),
            last: None,
            definitions: HashMap::new(),
            last_definition: None,
            threads: HashMap::new(),
            outcome: Outcome::default(),
        })
    }

    fn directives(mut self, directives: Vec<WastDirective<'static>>) -> Outcome {
        for directive in directives {
            let (line, _) = directive.span().linecol_in(self.text);
            let is_assertion = is_assertion(&directive);
            self.outcome.run += usize::from(is_assertion);
            match self.directive(directive) {
                Ok(()) => self.outcome.passed += usize::from(is_assertion),
                Err(failure) => self.outcome.failures.push(format!("line {}: {failure}", line + 1)),
            }
        }
        assert!(self.threads.is_empty(), "a thread that nobody waits for");
        match self.store.daemon.finish() {
            Ok(counts) => self.outcome.counts.add(&counts),
            Err(stop) => self.outcome.failures.push(format!("at the end: {stop:?}")),
        }
        self.outcome
    }

    fn directive(&mut self, directive: WastDirective<'static>) -> Result<(), String> {
        match directive {
            WastDirective::Module(mut quoted) => {
                let name = quoted.name();
                let module = self.read(&mut quoted)?;
                self.instance(name, &module).map_err(|refusal| format!("{refusal:?}"))
            }
            WastDirective::ModuleDefinition(mut quoted) => {
                let module = Arc::new(self.read(&mut quoted)?);
                self.last_definition = Some(Arc::clone(&module));
                if let Some(name) = quoted.name() {
                    self.definitions.insert(name.name().to_owned(), module);
                }
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let module = match module {
                    Some(name) => self.definitions.get(name.name()).cloned(),
                    None => self.last_definition.clone(),
                };
                let module = module.ok_or("no such definition")?;
                self.instance(instance, &module).map_err(|refusal| format!("{refusal:?}"))
            }
            WastDirective::Register { name, module, .. } => {
                let exports = self.store.instances[self.named(module)?].exports.clone();
                self.store.registered.insert(name.to_owned(), exports);
                Ok(())
            }
            WastDirective::Invoke(invoke) => {
                self.invoke(&invoke).map(drop).map_err(|stop| format!("{stop:?}"))
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let found = self.execute(exec).map_err(|stop| format!("{stop:?}"))?;
                matches(&found, &results)
            }
            WastDirective::AssertTrap { exec, message, .. } => stopped(self.execute(exec), message),
            WastDirective::AssertExhaustion { call, message, .. } => {
                stopped(self.invoke(&call), message)
            }
            WastDirective::AssertInvalid { mut module, .. } => {
                let bytes = module.encode().map_err(|error| error.to_string())?;
                match module::validate(&bytes, self.features) {
                    Ok(()) => Err("the module is valid".to_owned()),
                    Err(_in_words) => Ok(()),
                }
            }
            WastDirective::AssertMalformed { mut module, .. } => {
                let Ok(bytes) = module.encode() else { return Ok(()) };
                match module::validate(&bytes, self.features) {
                    Ok(()) => Err("the module is well-formed".to_owned()),
                    Err(_in_words) => Ok(()),
                }
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                let module = self.read(&mut QuoteWat::Wat(module))?;
                match self.store.instantiate(&module) {
                    Err(Refusal::Unlinkable(words)) if words == message => Ok(()),
                    other => Err(format!("{other:?} where `{message}` was due")),
                }
            }
            WastDirective::Thread(thread) => self.thread(thread),
            WastDirective::Wait { thread, .. } => {
                let thread = self.threads.remove(thread.name()).ok_or("no such thread")?;
                let outcome = thread.join().map_err(|_panic| "the thread panicked")?;
                self.outcome.run += outcome.run;
                self.outcome.passed += outcome.passed;
                self.outcome.modules += outcome.modules;
                self.outcome.failures.extend(outcome.failures);
                self.outcome.counts.add(&outcome.counts);
                Ok(())
            }
            other => Err(format!("a directive of a kind that is not known: {other:?}")),
        }
    }

    fn read(&self, quoted: &mut QuoteWat<'static>) -> Result<Module, String> {
        let bytes = quoted.encode().map_err(|error| error.to_string())?;
        Module::read(bytes, self.features)
    }

    fn instance(&mut self, name: Option<Id<'_>>, module: &Module) -> Result<(), Refusal> {
        self.last = None;
        let place = self.store.instantiate(module)?;
        self.outcome.modules += 1;
        self.last = Some(place);
        if let Some(name) = name {
            self.instances.insert(name.name().to_owned(), place);
        }
        Ok(())
    }

    fn named(&self, name: Option<Id<'_>>) -> Result<usize, String> {
        let place = match name {
            Some(name) => self.instances.get(name.name()).copied(),
            None => self.last,
        };
        place.ok_or_else(|| format!("no instance {name:?}"))
    }

    fn exported(&self, module: Option<Id<'_>>, name: &str) -> Result<Extern, Stop> {
        let instance = &self.store.instances[self.named(module).map_err(Stop::Fault)?];
        instance.exports.get(name).cloned().ok_or_else(|| Stop::Fault(format!("no export {name}")))
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Vec<Value>, Stop> {
        let given = invoke.args.iter().map(|argument| match argument {
            WastArg::Core(argument) => Value::argument(argument),
            other => Err(format!("{other:?}")),
        });
        let given = given.collect::<Result<Vec<_>, _>>().map_err(Stop::Fault)?;
        match self.exported(invoke.module, invoke.name)? {
            Extern::Function(function) => self.store.call(function, given),
            other => Err(Stop::fault(other)),
        }
    }

    fn execute(&mut self, execute: WastExecute<'static>) -> Result<Vec<Value>, Stop> {
        match execute {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Get { module, global, .. } => match self.exported(module, global)? {
                Extern::Global(place) => Ok(vec![self.store.globals[place].value]),
                other => Err(Stop::fault(other)),
            },
            WastExecute::Wat(wat) => self.whole(wat),
        }
    }

    /// A module that is made an instance of for what happens then.
    fn whole(&mut self, wat: Wat<'static>) -> Result<Vec<Value>, Stop> {
        let module = self.read(&mut QuoteWat::Wat(wat)).map_err(Stop::Fault)?;
        match self.store.instantiate(&module) {
            Ok(_place) => Ok(Vec::new()),
            Err(Refusal::Stopped(stop)) => Err(stop),
            Err(Refusal::Unlinkable(words)) => Err(Stop::Fault(words.to_owned())),
        }
    }

    /// Goes on with a part of the script beside this one. Both see the shared memories that the
    /// shared module exports, and nothing else of each other.
    fn thread(&mut self, thread: WastThread<'static>) -> Result<(), String> {
        let mut shared = Instance::default();
        if let Some(name) = thread.shared_module {
            let exports = &self.store.instances[self.named(Some(name))?].exports;
            let is_shared = |what: &Extern| match what {
                Extern::Memory(memory) => memory.of.shared,
                _ => false,
            };
            let memories = exports.iter().filter(|(_, what)| is_shared(what));
            shared.exports = memories.map(|(name, what)| (name.clone(), what.clone())).collect();
        }
        let (text, features) = (self.text, self.features);
        let endpoint = self.store.daemon.endpoint.clone();
        let running = spawn(move || {
            let mut script = Self::new(&endpoint, text, features).expect("spectest's own memories");
            script.store.instances.push(shared);
            if let Some(name) = thread.shared_module {
                script.instances.insert(name.name().to_owned(), 0);
            }
            script.directives(thread.directives)
        });
        self.threads.insert(thread.name.name().to_owned(), running);
        Ok(())
    }
}

fn is_assertion(directive: &WastDirective<'_>) -> bool {
    !matches!(
        directive,
        WastDirective::Module(_)
            | WastDirective::ModuleDefinition(_)
            | WastDirective::ModuleInstance { .. }
            | WastDirective::Register { .. }
            | WastDirective::Invoke(_)
            | WastDirective::Thread(_)
            | WastDirective::Wait { .. }
    )
}

fn matches(found: &[Value], expected: &[WastRet<'_>]) -> Result<(), String> {
    let mut are_equal = found.len() == expected.len();
    for (found, expected) in found.iter().zip(expected) {
        are_equal &= match expected {
            WastRet::Core(expected) => found.is(expected)?,
            other => return Err(format!("{other:?}")),
        };
    }
    if are_equal { Ok(()) } else { Err(format!("{found:x?} where {expected:x?} was due")) }
}

fn stopped(outcome: Result<Vec<Value>, Stop>, message: &str) -> Result<(), String> {
    match outcome {
        // The official files may say more than what happened: which element, for one.
        Err(Stop::Trap(words)) if message.starts_with(words) => Ok(()),
        other => Err(format!("{other:?} where the trap `{message}` was due")),
    }
}
