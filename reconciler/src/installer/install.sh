#!/bin/sh
# Puts the Bellwether agent onto this device and enrolls it. bellwether-reconciler made this script for one reconciler,
# whose certificate authority and TUF root it pins (at the end). It holds no secret; what it says of whom to trust is as
# good as the way by which it came here.
#
#   sh install.sh --help
set -eu

SERVER=@SERVER@
# The names in the server's certificate when this script was made.
NAMES=@NAMES@
UNIT=bellwether-agent.service
CONFIG=/etc/bellwether/agent.yaml
STATE=/var/lib/bellwether

usage() {
    cat <<TEXT
usage: sh install.sh [options]

Installs bellwether-agent, its configuration and a systemd unit, enrolls the device and starts the agent. Run again it
updates the agent and keeps the rest; with a token it enrolls the device again. What a run replaced is put back if that
run fails: a device whose new agent does not start goes on with the one before.

  --token-file FILE   file with the token, - for standard input; also BELLWETHER_TOKEN_FILE. Without it, a device that
                      is not enrolled asks on the terminal. A token is a secret, so it is never an argument
  --enrollment NAME   instead of a token: print the fingerprint of this device's key, and wait until an engineer
                      approves it in that enrollment; --wait DURATION gives up after it (such as 1h)
  --factory-certificate FILE --factory-key FILE
                      with --enrollment: come in by the certificate that the factory gave this device
  --server URL        address of the enroll listener, $SERVER if not given
  --no-enroll         leave enrolling for later, as for an image that many devices start from

What specs may do on this device; each option may be repeated:
  --allow-path DIR    directory to place files and artifacts in (default: /opt/bellwether)
  --allow-exec FILE   program that probes may run (default: none)
  --allow-unit UNIT   systemd unit that may be acted on (default: none)
  --probe-host HOST   host that http probes may ask (default: this device alone)
  --force-config      replace $CONFIG; else one that differs is kept, and the new one is
                      written beside it as agent.yaml.new

  --agent FILE        take the agent from this file instead of downloading it
  --prefix DIR        install to DIR/bin (default: /usr/local)
  --root DIR          install into a directory that holds another system, and do not start anything
  --no-start          do not start the agent
  --start             start it, also with --root

Examples:
  sh install.sh --token-file token --allow-path /opt/app --allow-exec /opt/app/current/selftest
  cat token | ssh device 'sh install.sh --token-file -'
  sh install.sh --root /mnt/image --agent ./bellwether-agent --no-enroll

Exit codes: 0 done; 1 other; 2 usage; 3 not root; 4 this platform, or a program is missing; 5 network; 6 the server's
certificate is for other names; 7 it is not trusted, or not at this time; 8 the agent cannot be downloaded; 9 disk;
10 token, approval or factory certificate; 11 no systemd; 12 the agent does not start.
TEXT
}

say() { printf '%s\n' "$*"; }

# fail EXIT CODE MESSAGE HINT
fail() {
    printf 'error[%s]: %s\n  hint: %s\n' "$2" "$3" "$4" >&2
    exit "$1"
}

misused() { fail 2 BW-0720 "$1" "sh install.sh --help"; }

full() { fail 9 BW-0665 "$1" "Make room, mount it writable, or mend the permissions; then run this again."; }

# changes COMMAND…: a command that changes the disk.
changes() {
    said=$("$@" 2>&1) || full "$said"
}

has() { command -v "$1" >/dev/null 2>&1; }

# One entry of a list in YAML: a JSON string.
entry() {
    case $1 in
        *"
"*) misused "a value has a line break" ;;
    esac
    printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g')"
}

# listed LIST ENTRY
listed() {
    if [ -n "$1" ]; then printf '%s, ' "$1"; fi
    entry "$2"
}

is_absolute() {
    case $2 in
        /*) ;;
        *) misused "$1 takes an absolute path, and $2 is none" ;;
    esac
}

parse() {
    server=$SERVER token_file=${BELLWETHER_TOKEN_FILE-} enroll=yes
    paths="" programs="" units="" hosts="" directories="" allows=no force=no
    agent_file="" prefix=/usr/local root="" start="" enrollment="" wait="" factory="" factory_key=""
    while [ $# -gt 0 ]; do
        case $1 in
            --token-file | --server | --allow-path | --allow-exec | --allow-unit | --probe-host | --agent | --prefix | --root | \
                --enrollment | --wait | --factory-certificate | --factory-key)
                [ $# -ge 2 ] || misused "$1 needs a value"
                ;;
        esac
        case $1 in
            --help | -h) usage && exit 0 ;;
            --token-file) token_file=$2 && shift ;;
            --token | --token=*) misused "a token as an argument could be read by everybody on this device: write it into a file and pass --token-file" ;;
            --server) server=${2%/} && shift ;;
            --enrollment) enrollment=$2 && shift ;;
            --wait) wait=$2 && shift ;;
            --factory-certificate) factory=$2 && shift ;;
            --factory-key) factory_key=$2 && shift ;;
            --no-enroll) enroll=no ;;
            --allow-path)
                is_absolute "$1" "$2"
                paths=$(listed "$paths" "$2") allows=yes
                directories="$directories$2
"
                shift
                ;;
            --allow-exec) is_absolute "$1" "$2" && programs=$(listed "$programs" "$2") && allows=yes && shift ;;
            --allow-unit) units=$(listed "$units" "$2") && allows=yes && shift ;;
            --probe-host) hosts=$(listed "$hosts" "$2") && allows=yes && shift ;;
            --force-config) force=yes ;;
            --agent) agent_file=$2 && shift ;;
            --prefix) is_absolute "$1" "$2" && prefix=${2%/} && shift ;;
            --root) root=${2%/} && shift ;;
            --no-start) start=no ;;
            --start) start=yes ;;
            *) misused "there is no option $1" ;;
        esac
        shift
    done
    case $server in
        https://?*:[0-9]*) ;;
        *) misused "--server takes https://NAME:PORT, and $server is not that" ;;
    esac
    if [ -n "$enrollment" ] && [ -n "$token_file" ]; then
        misused "a device comes in by a token or by --enrollment, and not by both"
    fi
    if [ -z "$enrollment" ] && [ -n "$wait$factory$factory_key" ]; then
        misused "--wait, --factory-certificate and --factory-key need --enrollment"
    fi
    if [ -z "$start" ]; then
        if [ -n "$root" ]; then start=no; else start=yes; fi
    fi
    if [ -z "$paths" ]; then
        paths='"/opt/bellwether"' directories="/opt/bellwether
"
    fi
    [ -n "$hosts" ] || hosts='"127.0.0.1", "::1", "localhost"'
    bin=$root$prefix/bin agent=$root$prefix/bin/bellwether-agent config=$root$CONFIG state=$root$STATE
    units_dir=$root/etc/systemd/system unit=$root/etc/systemd/system/$UNIT
}

# What would fail later is said before anything is changed.
look_around() {
    [ "$(uname -s)" = Linux ] || fail 4 BW-0662 "this is $(uname -s), and the agent runs on Linux" "Use a device with Linux."
    if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then
        fail 3 BW-0660 "this needs root, and runs as $(id -un)" "Run it by sudo or as root."
    fi
    if [ "$start" = yes ]; then
        if ! has systemctl || ! [ -d "$root/run/systemd/system" ]; then
            fail 11 BW-0663 "systemd does not run here" \
                "Pass --no-start, and have your own supervisor run: bellwether-agent run --config $CONFIG"
        fi
    fi
    has sha256sum || fail 4 BW-0661 "there is no sha256sum" "Install coreutils or busybox."
    if [ -z "$agent_file" ]; then
        case $(uname -m) in
            x86_64 | amd64) target=x86_64-unknown-linux-musl ;;
            aarch64 | arm64) target=aarch64-unknown-linux-musl ;;
            armv7* | armv8l) target=armv7-unknown-linux-musleabihf ;;
            armv6*) target=arm-unknown-linux-musleabihf ;;
            i?86) target=i686-unknown-linux-musl ;;
            riscv64) target=riscv64gc-unknown-linux-musl ;;
            *) fail 4 BW-0662 "no agent is known for $(uname -m)" "Build one, and pass it by --agent FILE." ;;
        esac
        if ! has curl && ! is_wget; then
            # The wget of busybox does not check certificates.
            fail 4 BW-0661 "there is neither curl nor GNU wget" "Install one of them, or pass the agent by --agent FILE."
        fi
    elif ! [ -r "$agent_file" ]; then
        misused "--agent: $agent_file cannot be read"
    fi
}

is_wget() { has wget && wget --version 2>/dev/null | grep -q '^GNU Wget'; }

# The token is looked for before anything is changed, too.
find_token() {
    if [ "$enroll" = no ] || [ -n "$enrollment" ]; then return 0; fi
    token=$work/token
    case $token_file in
        "")
            if [ -e "$state/identity.json" ]; then
                enroll=no
            else
                ask_token
            fi
            ;;
        -) cat >"$token" ;;
        *)
            [ -r "$token_file" ] || fail 10 BW-0666 "the token file $token_file cannot be read" "Check the path and its permissions."
            token=$token_file
            ;;
    esac
    if [ "$enroll" = yes ] && ! [ -s "$token" ]; then
        fail 10 BW-0666 "the token is empty" "Give it by --token-file FILE. Make one: bellwether token mint."
    fi
}

ask_token() {
    if ! (: </dev/tty) 2>/dev/null; then
        fail 10 BW-0666 "a device that is not enrolled needs a token, and there is no terminal to ask on" \
            "Pass --token-file FILE, or --no-enroll. Make a token: bellwether token mint."
    fi
    printf 'Token: ' >/dev/tty
    echo_off=yes
    stty -echo </dev/tty 2>/dev/null || true
    IFS= read -r typed </dev/tty || typed=""
    stty echo </dev/tty 2>/dev/null || true
    echo_off=no
    say "" >/dev/tty
    printf %s "$typed" >"$token"
}

host_of() {
    host=${1#https://}
    host=${host%%/*}
    case $host in
        \[*\]*) host=${host#\[} && host=${host%%\]*} ;;
        *) host=${host%%:*} ;;
    esac
    printf %s "$host"
}

# The names in the certificate that answers now; without openssl those when this script was made.
names() {
    at=${server#https://}
    at=${at%%/*}
    found=""
    if has openssl; then
        found=$(openssl s_client -connect "$at" -servername "$(host_of "$server")" </dev/null 2>/dev/null |
            openssl x509 -noout -ext subjectAltName 2>/dev/null | sed -n 's/^ *\(DNS:\|IP Address:\)/\1/p' |
            sed 's/DNS://g; s/IP Address://g') || true
    fi
    printf %s "${found:-$NAMES}"
}

mismatched() {
    fail 6 BW-0611 "$server: the server's certificate is not for the name $(host_of "$server"); the names in it: $(names)" \
        "Pass --server with one of these names, or have the reconciler's certificate made with this name."
}

# unreachable WHAT HINT
unreachable() { fail 5 BW-0610 "$server: $1" "$2"; }

# tls_failed WHAT-THE-PROGRAM-SAID
tls_failed() {
    case $1 in
        *"subject name"* | *"host name"* | *hostname*) mismatched ;;
        *expired* | *"not yet valid"* | *"not yet activated"* | *"valid until"*)
            fail 7 BW-0616 "$server: the server's certificate is not valid at this time; this device's clock shows $(date -u): $1" \
                "Set the clock. If it is right, the reconciler needs a new certificate."
            ;;
        *certificate* | *issuer* | *CA*)
            fail 7 BW-0612 "$server: the server's certificate was not signed by the authority that this script pins: $1" \
                "Somebody else answers here, or the reconciler was set up anew: get a new script by bellwether-reconciler installer."
            ;;
        *) fail 7 BW-0613 "$server: no secure connection: $1" "Check that the address belongs to the listener enroll." ;;
    esac
}

# fetch PATH FILE: a file of the reconciler, trusted by the pinned authority and by nothing else.
fetch() {
    rc=0 status=""
    if has curl; then
        status=$(LC_ALL=C curl -q --silent --show-error --proto '=https' --noproxy '*' --cacert "$work/ca.crt" \
            --capath "$work/none" --connect-timeout 20 --speed-limit 256 --speed-time 60 --retry 3 \
            --output "$2" --write-out '%{http_code}' "$server$1" 2>"$work/said") || rc=$?
        said=$(grep '^curl: (' "$work/said" | tail -n 1) || said=$(tail -n 1 "$work/said")
        case $rc in
            0) ;;
            6) unreachable "its name cannot be resolved: $said" "Check the name, and this device's resolver (/etc/resolv.conf)." ;;
            7) unreachable "cannot connect: $said" "Check the port, firewalls on the way, and that the reconciler runs." ;;
            28) unreachable "no answer in time: $said" "Check routes and firewalls on the way: packets are dropped rather than refused." ;;
            23) full "$2 cannot be written: $said" ;;
            35 | 51 | 53 | 58 | 59 | 60 | 77 | 80 | 83 | 90 | 91) tls_failed "$said" ;;
            *) unreachable "curl ended with $rc: $said" "Check the network; run this again." ;;
        esac
    else
        LC_ALL=C wget --no-config --no-verbose --https-only --no-proxy --max-redirect=0 --ca-certificate="$work/ca.crt" \
            --ca-directory="$work/none" --timeout=20 --tries=3 --content-on-error \
            --output-document="$2" "$server$1" 2>"$work/said" || rc=$?
        said=$(tail -n 3 "$work/said" | tr '\n' ' ')
        case $rc in
            0) status=200 ;;
            3) full "$2 cannot be written: $said" ;;
            4)
                case $said in
                    *"unable to resolve"*) unreachable "its name cannot be resolved: $said" "Check the name, and this device's resolver (/etc/resolv.conf)." ;;
                    *) unreachable "cannot connect: $said" "Check the port, firewalls on the way, and that the reconciler runs." ;;
                esac
                ;;
            5) tls_failed "$(tr '\n' ' ' <"$work/said")" ;;
            8) status=$(sed -n 's/.*ERROR \([0-9][0-9][0-9]\).*/\1/p' "$work/said" | tail -n 1) ;;
            *) unreachable "wget ended with $rc: $said" "Check the network; run this again." ;;
        esac
    fi
    [ "$status" = 200 ] || fail 8 BW-0664 "$server$1 was answered by ${status:-nothing}: $(said_in "$2" message)" "$(said_in "$2" hint)"
}

# said_in FILE FIELD: what the reconciler says in its error.
said_in() {
    text=$(head -c 4096 "$1" 2>/dev/null | tr -d '\n' | sed -n 's/.*"'"$2"'":"\(\([^"\\]\|\\.\)*\)".*/\1/p')
    printf %s "${text:-the address may belong to something else}"
}

sha256() { sha256sum "$1" | cut -d ' ' -f 1; }

# The agent, under another name until it is known to be whole and to run here.
get_agent() {
    changes mkdir -p "$bin"
    if [ -n "$agent_file" ]; then
        changes cp "$agent_file" "$new"
    else
        fetch "/agent/$target/bellwether-agent.sha256" "$work/sha256"
        wanted=$(cut -d ' ' -f 1 <"$work/sha256")
        if [ -x "$agent" ] && [ "$(sha256 "$agent")" = "$wanted" ]; then
            say "$agent is the reconciler's already"
            return 0
        fi
        say "downloading the agent for $target"
        fetch "/agent/$target/bellwether-agent" "$new"
        found=$(sha256 "$new")
        if [ "$found" != "$wanted" ]; then
            fail 8 BW-0664 "the agent did not arrive whole: its SHA-256 is $found, and $wanted was announced" "Run this again."
        fi
    fi
    changes chmod 755 "$new"
    runs=$("$new" --version 2>&1) || fail 4 BW-0662 "the agent does not run on this device: $runs" \
        "Take the one for this processor, and a file system that is not mounted noexec."
    if [ -e "$agent" ]; then
        changes cp -p "$agent" "$agent.previous"
        replaced="$replaced agent"
    fi
    changes mv "$new" "$agent"
    say "installed $agent ($runs)"
}

# replace FILE BY NAME: by a file in the working directory; what was there is kept as NAME.previous until this run is over.
replace() {
    if [ -e "$1" ] && ! cmp -s "$1" "$2"; then
        changes cp -p "$1" "$work/$3.previous"
        replaced="$replaced $3"
    fi
    changes cp "$2" "$1.part"
    changes mv "$1.part" "$1"
}

# Puts back what this run replaced; fails where that is nothing.
put_back() {
    [ -n "$replaced" ] || return 1
    for what in $replaced; do
        case $what in
            agent) mv -f "$agent.previous" "$agent" || return 1 ;;
            config) cp -p "$work/config.previous" "$config" || return 1 ;;
            unit) cp -p "$work/unit.previous" "$unit" || return 1 ;;
        esac
    done
    if [ "$start" = yes ]; then systemctl daemon-reload || return 1; fi
}

configure() {
    changes mkdir -p "${config%/*}"
    cat >"$work/agent.yaml" <<TEXT
# What this device allows. A signed spec chooses within it, and never widens it. After an edit:
#   bellwether-agent unit > /etc/systemd/system/$UNIT
#   systemctl daemon-reload && systemctl restart bellwether-agent
paths: [$paths]
exec: [$programs]
units: [$units]
probeHosts: [$hosts]
TEXT
    if ! [ -e "$config" ] || [ "$force" = yes ]; then
        replace "$config" "$work/agent.yaml" config
        # The sandbox lets the agent write to directories that are there when it starts.
        printf %s "$directories" >"$work/directories"
        while IFS= read -r directory; do
            changes mkdir -p "$root$directory"
        done <"$work/directories"
        say "wrote $config"
    elif [ "$allows" = yes ] && ! cmp -s "$work/agent.yaml" "$config"; then
        changes cp "$work/agent.yaml" "$config.new"
        say "kept $config; what this call asks for is in $config.new (--force-config takes it)"
    else
        say "kept $config"
    fi
    changes mkdir -p "$units_dir/multi-user.target.wants"
    "$agent" unit --root "${root:-/}" --config "$CONFIG" --program "$prefix/bin/bellwether-agent" >"$work/unit" 2>"$work/said" ||
        fail 1 BW-0603 "no unit can be made of $config: $(cat "$work/said")" "Mend the file."
    replace "$unit" "$work/unit" unit
    changes ln -sf "/etc/systemd/system/$UNIT" "$units_dir/multi-user.target.wants/$UNIT"
}

# Names, port, certificate and clock are looked at before the token is used.
preflight() {
    rc=0
    "$agent" check --server "$server" --ca "$work/ca.crt" --state "$state" --root "${root:-/}" >"$work/found" 2>&1 || rc=$?
    case $rc in
        0) return 0 ;;
        1) grep -E '^(WARN|FAIL)' "$work/found" >&2 || true ;;
        *) cat "$work/found" >&2 && exit 1 ;;
    esac
    exit_by "$(sed -n 's/^FAIL  enroll: .*(\(BW-[0-9]*\)).*/\1/p' "$work/found" | head -n 1)"
}

# exit_by CODE: the exit code that belongs to a code of the agent or of the reconciler; goes on where there is none.
exit_by() {
    case $1 in
        "") return 0 ;;
        BW-0317) exit 1 ;;
        BW-031[0-9] | BW-032[0-9]) exit 10 ;;
        BW-0610) exit 5 ;;
        BW-0611) exit 6 ;;
        BW-0612 | BW-0613 | BW-0616) exit 7 ;;
        *) exit 1 ;;
    esac
}

enroll() {
    [ "$enroll" = yes ] || return 0
    preflight
    if [ "$start" = yes ] && systemctl is-active --quiet "$UNIT"; then
        systemctl stop "$UNIT"
        stopped=yes
    fi
    set -- --server "$server" --ca "$work/ca.crt" --tuf-root "$work/root.json" --state "$state"
    if [ -n "$enrollment" ]; then
        set -- "$@" --enrollment "$enrollment"
        if [ -n "$wait" ]; then set -- "$@" --wait "$wait"; fi
        if [ -n "$factory" ]; then set -- "$@" --factory-certificate "$factory"; fi
        if [ -n "$factory_key" ]; then set -- "$@" --factory-key "$factory_key"; fi
    else
        set -- "$@" --token-file "$token"
    fi
    # What it says is seen while it waits, and kept to tell why it failed.
    {
        {
            rc=0
            "$agent" enroll "$@" || rc=$?
            echo "$rc" >"$work/rc"
        } 2>&1 1>&3 | tee "$work/found" >&2
    } 3>&1
    [ "$(cat "$work/rc")" = 0 ] && return 0
    exit_by "$(sed -n 's/^error\[\(BW-[0-9]*\)\].*/\1/p' "$work/found" | head -n 1)"
    exit 1
}

start() {
    if [ "$start" = no ]; then
        say "not started; it starts with the system"
        return 0
    fi
    stopped=no
    systemctl daemon-reload
    # The unit is ready when the agent says so.
    if ! systemctl restart "$UNIT"; then
        if [ -n "$replaced" ]; then stopped=yes; fi
        fail 12 BW-0667 "the agent does not start" "See why: journalctl -u bellwether-agent -n 50"
    fi
    if ! [ -e "$state/identity.json" ]; then
        say "the agent waits until this device is enrolled; run this again with a token, or bellwether-agent enroll --help"
        return 0
    fi
    say "the agent runs; see bellwether-agent status, bellwether-agent check, journalctl -u bellwether-agent"
}

clean_up() {
    rc=$?
    trap - EXIT
    if [ "${echo_off-no}" = yes ]; then stty echo </dev/tty 2>/dev/null || true; fi
    if [ "$rc" != 0 ] && put_back; then say "put back what this run had replaced:$replaced" >&2; fi
    # A device that ran before is not left standing.
    if [ "${stopped-no}" = yes ] && systemctl start "$UNIT"; then say "the agent that was here before runs again" >&2; fi
    rm -rf "$work" "$new"
    exit "$rc"
}

# The end of this file is the last thing that runs: a script that arrived in part does nothing.
main() {
    umask 022
    parse "$@"
    new=$bin/.bellwether-agent.new replaced=""
    look_around
    work=$(umask 077 && mktemp -d) || full "there is no temporary directory"
    trap clean_up EXIT
    trap 'exit 1' HUP INT TERM
    mkdir "$work/none"
    write_ca >"$work/ca.crt"
    write_root >"$work/root.json"
    (umask 077 && : >"$work/token")
    find_token
    get_agent
    configure
    enroll
    start
}

write_ca() {
    cat <<'BELLWETHER_CA'
@CA@
BELLWETHER_CA
}

write_root() {
    printf %s @ROOT@
}

main "$@"
