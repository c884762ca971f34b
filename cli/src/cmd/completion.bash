# shellcheck shell=bash
# Makes bash complete the words of sc.
_sc() {
    # Bash splits at :, = and @ as well, and puts its answer only in place of what comes after them. So
    # words are put together again, and what stands before that place is cut off the answers.
    local words=() rest=$COMP_LINE before='' gap word typed index
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        gap=${rest%%[![:space:]]*}
        rest=${rest:${#gap}}
        rest=${rest#"$word"}
        typed=$word
        # Of the last word the part before the cursor counts, without a quote that is open.
        if ((index == COMP_CWORD)) && [[ ! $word =~ ^[:=@]+$ ]]; then typed=$2; fi
        # What completes names of hosts leaves the @ before them.
        if [[ $before == *@ ]]; then typed=${typed#@}; fi
        if [[ -n $before && -z $gap && ($word == [:=@]* || $before == *[:=@]) ]]; then
            words[-1]+=$typed
        else
            words+=("$typed")
        fi
        before=$word
    done
    mapfile -t COMPREPLY < <(
        SC_COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) \
            _CLAP_COMPLETE_COMP_TYPE=$COMP_TYPE _CLAP_COMPLETE_SPACE=false sc -- "${words[@]}"
    )
    local cut=${words[-1]%"$2"}
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    # What goes on gets no space after it.
    if [[ ! ${COMPREPLY-} =~ [=/:.]$ ]]; then compopt +o nospace 2>/dev/null; fi
}
complete -o nospace -o bashdefault -o nosort -F _sc sc
