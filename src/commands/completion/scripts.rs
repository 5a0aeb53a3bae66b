//! The files by which a shell asks for candidates: a script for the command `kubectl-mtls`, and the executable that kubectl runs.

use super::Shell;

/// Marks the shim as written by this plugin, so that a later version may replace it.
pub(super) const MARK: &str = "kubectl asks this for completions of `kubectl mtls`";

const BASH: &str = r#"# Completion of `kubectl-mtls` in bash.
_kubectl_mtls() {
    local line word="${COMP_LINE:0:COMP_POINT}"
    local -a words
    read -ra words <<<"$word"
    [[ $word == *[[:space:]] ]] && words+=("")
    # bash takes `=` and `:` for the ends of words; what stands before the last of them is on the line already.
    local current="${words[-1]}" shown="${COMP_WORDS[COMP_CWORD]}"
    local typed="${current%"$shown"}"
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :2 | :6) compopt -o nospace ;;
        :*) ;;
        *)
            line="${line%%$'\t'*}"
            COMPREPLY+=("${line#"$typed"}")
            ;;
        esac
    done < <(kubectl-mtls __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _kubectl_mtls kubectl-mtls
"#;

const ZSH: &str = r#"#compdef kubectl-mtls
# Completion of `kubectl-mtls` in zsh.
_kubectl_mtls() {
    local line value help
    local -a candidates space
    space=()
    while IFS= read -r line; do
        case $line in
        :2|:6) space=(-S '') ;;
        :[0-9]*) ;;
        *)
            value="${line%%$'\t'*}"
            help="${line#"$value"}"
            candidates+=("${value//:/\\:}${help:+:${help#$'\t'}}")
            ;;
        esac
    done < <(kubectl-mtls __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe 'kubectl mtls' candidates $space
}
compdef _kubectl_mtls kubectl-mtls
"#;

const FISH: &str = r"# Completion of `kubectl-mtls` in fish.
function __kubectl_mtls_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    kubectl-mtls __complete $words[2..] $current 2>/dev/null | string match -rv '^:[0-9]+$'
end
complete -c kubectl-mtls -f -a '(__kubectl_mtls_complete)'
";

const POWERSHELL: &str = r#"# Completion of `kubectl-mtls` in PowerShell.
Register-ArgumentCompleter -Native -CommandName 'kubectl-mtls' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition -or $_.Extent.Text -ne $wordToComplete } |
        ForEach-Object { $_.ToString() })
    kubectl-mtls __complete @words "$wordToComplete" 2>$null | Where-Object { $_ -notmatch '^:\d+$' } | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
    }
}
"#;

/// The script for a shell.
pub(super) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
        Shell::Powershell => POWERSHELL,
    }
}

/// The name and the content of the executable that kubectl runs for completions; archives of releases hold the same files.
pub(super) const SHIM: (&str, &str) = if cfg!(windows) {
    (
        "kubectl_complete-mtls.cmd",
        include_str!("shim/kubectl_complete-mtls.cmd"),
    )
} else {
    (
        "kubectl_complete-mtls",
        include_str!("shim/kubectl_complete-mtls"),
    )
};
