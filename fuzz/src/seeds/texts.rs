//! Text: names, sizes and the configuration; and the dice of programs.

use crate::world::UID;

pub(super) fn names() -> Vec<Vec<u8>> {
    let uid = format!("\u{3}{UID}");
    let texts = [
        "\u{0}x",
        "\u{0}a.b_c:d-e",
        "\u{0}m",
        "\u{0}.a",
        "\u{1}env",
        "\u{1}!env,team=a",
        "\u{1}env!=dev , team",
        "\u{1}a,,b",
        "\u{2}e3b0c442.m",
        "\u{2}e3b0c442.",
        "\u{2}nothing",
        &uid,
        "\u{3}00000000-0000-4000-8000-000000000000",
        "\u{3}x",
        "\u{4}h",
        "\u{4}g",
        "\u{5}n",
        "\u{5}two",
        "\u{0}z:1",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(super) fn config() -> Vec<Vec<u8>> {
    let shipped = include_str!("../../../config/linmemd.toml");
    // Every key, without what is said of it.
    let bare: Vec<&str> = shipped
        .lines()
        .map(|line| line.trim_start_matches("# ").trim_start_matches('#'))
        .filter(|line| {
            let key = line.split(" = ").next().unwrap_or_default();
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            (line.contains(" = ") && plain(key)) || line.starts_with('[')
        })
        .collect();
    let mut seeds: Vec<Vec<u8>> =
        bare.chunks(12).map(|lines| lines.join("\n").into_bytes()).collect();
    let mut section = "";
    for line in &bare {
        if line.starts_with('[') {
            section = line;
        } else {
            seeds.push(format!("{section}\n{line}").into_bytes());
        }
    }
    let texts = [
        "%%LINMEMD_GRPC__LISTEN=[::1]:7\nLINMEMD_POOL__INLINE_BYTES=64KiB\nLINMEMD_SERVICE_HOST=x",
        "%%LINMEMD_LEASE__SWEEP_INTERVAL=1m 30s\nLINMEMD_MEMORY__OVERCOMMIT=1.5\nHOME=/",
        "%%%%--listen=127.0.0.1:1\n--metrics-listen=[::1]:2\n--unix-socket=/run/x.sock",
        "[pool]\ninline_bytes = 70000\n%%LINMEMD_LOG__FORMAT=json",
        "[[tenant]]\nname = \"a\"\nquota_bytes = \"1MiB\"\n[[tenant]]\nname = \"a\"",
        "[[partition]]\nname = \"p\"\nmaximum_bytes = \"1MiB\"\nminimum_bytes = 65536",
        "[[hook]]\nname = \"h\"\nlabel_selector = \"env\"\nfailure_policy = \"open\"\nrank = -1",
        "[[partition]]\nname = \"p\"\nmaximum_bytes = \"1MiB\"\npage_kind = \"base\"\n\
         [[partition]]\nname = \"p\"\nmaximum_bytes = \"1MiB\"\npage_kind = \"1g\"",
        "[[partition]]\nname = \"p\"\nmaximum_bytes = \"2MiB\"\nparent = \"q\"\ntenants = [\"x\"]\n\
         [[partition]]\nname = \"q\"\nmaximum_bytes = \"4MiB\"\nparent = \"p\"",
        "[[partition]]\nname = \"p\"\nmaximum_bytes = \"2MiB\"\nminimum_bytes = \"1MiB\"\n\
         [[partition]]\nname = \"q\"\nmaximum_bytes = \"1MiB\"\nparent = \"p\"\npage_kind = \"base\"",
        "[memory]\nbudget_bytes = \"1GiB\"\n[[partition]]\nname = \"p\"\nmaximum_bytes = \"2GiB\"\n\
         minimum_bytes = \"2GiB\"",
        "[[hook]]\nname = \"h\"\nfailure_policy = \"fail_open\"\n[[hook]]\nname = \"h\"\ntenant = \"x\"",
        "[confinement]\nseccomp = \"log\"\nrequire = [\"seccomp\", \"landlock\"]",
        "[confinement]\nseccomp = \"off\"\nrequire = [\"what\"]",
        "[confinement]\nrequire = [\"seccomp\", \"seccomp\"]",
        "[[partition]]\nname = \"p\"\nmaximum_bytes = \"1MiB\"\ntenants = [\"a\", \"a b\"]",
        "[confinement]\nrequire = 3\n[grpc]\nnuma_nodes = [0, 1]\n[pool]\nnuma_nodes = \"x\"",
        "%%LINMEMD_CONFINEMENT__REQUIRE=seccomp, landlock\nLINMEMD_GRPC__NUMA_NODES=0,1",
        "%%LINMEMD_CONFINEMENT__REQUIRE=\nLINMEMD_GRPC__NUMA_NODES=\nLINMEMD_HTTP__ALLOWED_HOSTS=",
        "%%LINMEMD_METRICS_PORT_90_TCP=x\nLINMEMD_METRICS_PORT=tcp://x\nLINMEMD_TENANT__NAME=a",
        "%%LINMEMD_HTTP__ALLOWED_HOSTS=a,b\nLINMEMD_HTTP__ALOWED_HOSTS=a\nLINMEMD_X=1",
        "[[tenant]]\nname = [1]\n[[tenant]]\nname = \"a b\"\nstate = \"closed\"\nquota_bytes = 1.5",
        "[[tenant]]\nname = \"a\"\nstate = \"shut\"\nquota_bytes = true\nmemories = -1",
        "[log]\nfilter = \"lnimemd=debug,[x\"\nformat = \"yaml\"\n[lease]\nsweep_interval = 1979-05-27",
        "[grcp]\nlisten = 1",
        "grpc = 3",
        "[grpc]\nlisten = ",
        "[http]\nallowed_hosts = [\"a\", \"b.c\"]\nallow_anonymous = true\nlisten = \"0.0.0.0:1\"",
    ];
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}

pub(super) fn sizes() -> Vec<Vec<u8>> {
    let texts = [
        "\u{0}4096",
        "\u{0}0x1000",
        "\u{0}64KiB",
        "\u{0}1.5MiB",
        "\u{0}2GB",
        "\u{0}3pages",
        "\u{0}1_000",
        "\u{0}1M",
        "\u{0}0.3KiB",
        "\u{0}18446744073709551615",
        "\u{0}5m 30s",
        "\u{0}0xff",
        "\u{0}255",
        "\u{1}48656c6c6f",
        "\u{1}0x48:65 6c",
        "\u{1}abc",
        "\u{2}\u{3}\u{1}0123456789abcdef0123456789abcdef0123456789abcdef",
        "\u{3}key=value",
        "\u{3}env=prod, !zone ,team",
        "\u{3}a!=b",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Dice for programs of several lengths.
pub(super) fn programs() -> Vec<Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut byte = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    [3, 6, 12, 24, 36, 48, 60, 72].map(|length| (0..length).map(|_| byte()).collect()).to_vec()
}
