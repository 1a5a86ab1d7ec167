//! Confinement on kernels that refuse: each measure alone, what is told of it, and what is required.

use std::fs;
use std::sync::Mutex;

use super::*;
use crate::config::Config;
use crate::daemon::check::{Form, check};
use crate::os::confine::{Given, Landlocked};
use crate::os::kernel::Linux;

/// Takes nothing, and refuses what it is told to.
#[derive(Debug, Default)]
struct Kernelless {
    refuses: Option<Measure>,
    errno: i32,
    reach: Arc<Mutex<Reach>>,
}

impl Kernelless {
    fn one(&self, measure: Measure) -> Result<(), OsError> {
        match self.refuses {
            Some(refused) if refused == measure => {
                Err(OsError { call: "call", errno: self.errno, bytes: 0 })
            }
            _ => Ok(()),
        }
    }
}

impl Confiner for Kernelless {
    fn no_new_privileges(&self) -> Result<(), OsError> {
        self.one(Measure::NoNewPrivileges)
    }

    fn not_dumpable(&self) -> Result<(), OsError> {
        self.one(Measure::NotDumpable)
    }

    fn no_core(&self) -> Result<(), OsError> {
        self.one(Measure::NoCore)
    }

    fn no_new_executable_memory(&self) -> Result<(), OsError> {
        self.one(Measure::NoNewExecutableMemory)
    }

    fn give_up_capabilities(&self, kept: &[u32]) -> Result<Given, OsError> {
        let permitted = kept.iter().fold(0, |bits, number| bits | 1 << number);
        self.one(Measure::Capabilities).map(|()| Given { permitted, bounding: permitted })
    }

    fn restrict(&self, reach: &Reach) -> Result<Landlocked, OsError> {
        *self.reach.lock().unwrap() = reach.clone();
        let done = Landlocked { abi: 3, without: vec!["TCP", "signals"], paths: reach.read.len() };
        self.one(Measure::Landlock).map(|()| done)
    }

    fn filter(&self, _program: &Program) -> Result<(), OsError> {
        self.one(Measure::Seccomp)
    }

    fn threads(&self) -> usize {
        1
    }
}

fn refusing(measure: Measure, errno: i32) -> Box<Kernelless> {
    Box::new(Kernelless { refuses: Some(measure), errno, ..Kernelless::default() })
}

fn config(text: &str) -> Config {
    Config::from_toml(text).unwrap()
}

fn all_of(confinement: &Confinement) -> Result<(), StartError> {
    confinement.begin(&Linux, None)?;
    confinement.expect(Role::ALL.len());
    Role::ALL.into_iter().for_each(|role| confinement.enter(role));
    confinement.conclude()
}

#[test]
fn a_measure_that_is_refused_is_off_with_its_reason_and_all_others_are_taken() {
    for measure in Measure::ALL {
        let confiner = refusing(measure, libc::ENOSYS);
        let confinement = Confinement::new(&Config::default(), None, confiner);
        all_of(&confinement).unwrap();
        let told = confinement.told();
        let order: Vec<Measure> = told.iter().map(|one| one.measure).collect();
        assert_eq!(order, Measure::ALL);
        for one in &told {
            assert_eq!(one.state == State::Off, one.measure == measure, "{one:?}");
        }
        let off = told.iter().find(|one| one.measure == measure).unwrap();
        assert!(off.reason.contains("Function not implemented"), "{off:?}");
    }
}

#[test]
fn what_is_required_and_refused_ends_the_start_by_name() {
    for measure in Measure::ALL {
        let text = format!("[confinement]\nrequire = [\"{}\"]", measure.word());
        let with = |confiner| Confinement::new(&config(&text), None, confiner);
        let said = all_of(&with(refusing(measure, libc::EINVAL))).unwrap_err().to_string();
        assert!(said.contains(measure.word()) && said.contains("Invalid argument"), "{said}");
        // Another one that is off, and one that is had in part, is no matter.
        let other = if measure == Measure::NoCore { Measure::Seccomp } else { Measure::NoCore };
        all_of(&with(refusing(other, libc::EINVAL))).unwrap();
    }
}

#[test]
fn what_the_config_switches_off_is_not_tried_and_is_told_so() {
    let off = config("[confinement]\nlandlock = false\nseccomp = \"off\"\nkeep_ipc_lock = false");
    // What is not tried is not refused.
    for measure in [Measure::Landlock, Measure::Seccomp] {
        let confinement = Confinement::new(&off, None, refusing(measure, libc::EPERM));
        all_of(&confinement).unwrap();
        for one in confinement.told() {
            let is_switched = [Measure::Landlock, Measure::Seccomp].contains(&one.measure);
            assert_eq!(one.state == State::SwitchedOff, is_switched, "{one:?}");
            if one.measure == Measure::Capabilities {
                assert_eq!(one.reason, "none is left");
            }
        }
    }
    let log = config("[confinement]\nseccomp = \"log\"");
    let confinement = Confinement::new(&log, None, Box::<Kernelless>::default());
    all_of(&confinement).unwrap();
    assert_eq!(confinement.told().last().unwrap().state, State::Partly);
}

#[test]
fn the_config_and_the_sockets_folder_are_in_reach() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().canonicalize().unwrap();
    let file = own.join("linmemd.toml");
    fs::write(&file, "").unwrap();
    let confiner = Kernelless::default();
    let reach = Arc::clone(&confiner.reach);
    let confinement = Confinement::new(&Config::default(), Some(&file), Box::new(confiner));
    confinement.begin(&Linux, Some(Path::new("/run/linmemd/linmemd.sock"))).unwrap();
    let reach = reach.lock().unwrap();
    assert!([own, file].iter().all(|path| reach.read.contains(path)), "{reach:?}");
    assert_eq!(reach.remove_in, [Path::new("/run/linmemd")]);
}

#[test]
fn check_says_every_measure_in_either_form_and_ends_with_1_where_one_is_off() {
    let run = |refuses, form| {
        let confiner = Kernelless { refuses, errno: libc::EINVAL, ..Kernelless::default() };
        let config = Config::default();
        let confinement = Confinement::new(&config, None, Box::new(confiner));
        let mut out = Vec::new();
        let code = check(&config, &Linux, &confinement, form, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let (code, plain) = run(None, Form::Plain);
    assert_eq!((code, plain.lines().count()), (0, Measure::ALL.len()), "{plain}");
    assert!(!plain.contains('\u{1b}') && plain.contains("PARTLY"), "{plain}");
    let (code, coloured) = run(Some(Measure::NoNewExecutableMemory), Form::Coloured);
    assert_eq!(code, 1, "{coloured}");
    assert!(coloured.contains("\u{1b}[31mOFF") && coloured.contains("Linux 6.3"), "{coloured}");
    let (code, json) = run(Some(Measure::Seccomp), Form::Json);
    assert_eq!(code, 1, "{json}");
    let last = "{\"measure\":\"seccomp\",\"state\":\"off\",\"reason\":\"of main threads: call: \
        Invalid argument (os error 22)\"}],\"unix_socket\":null,\"refused\":[],\"untrusted\":[]}\n";
    assert!(json.ends_with(last), "{json}");
}

#[test]
fn without_confinement_nothing_is_done_or_told() {
    let none = Confinement::none();
    all_of(&none).unwrap();
    assert_eq!(none.told(), []);
}
