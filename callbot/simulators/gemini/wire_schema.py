"""The client messages of a Live session as tables: which fields each message has, and of what kind.

Taken from the API reference of BidiGenerateContent (v1beta, and v1beta1 of Vertex), field by field. Names are in
camelCase; `wire_reader` accepts both spellings.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scalar(StrEnum):
    """Kinds of values that hold nothing of the protocol; the value is what error texts of the service call it."""

    STRING = "TYPE_STRING"
    BOOL = "TYPE_BOOL"
    INT32 = "TYPE_INT32"
    INT64 = "TYPE_INT64"
    FLOAT = "TYPE_FLOAT"
    BYTES = "TYPE_BYTES"
    OBJECT = "type.googleapis.com/google.protobuf.Struct"  # the user's own object, keys and all
    ANY = "type.googleapis.com/google.protobuf.Value"


@dataclass(frozen=True, slots=True)
class Enum:
    """One of these names, in any case."""

    name: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Repeated:
    """A list; one value alone is taken for a list of one."""

    item: "Kind"


@dataclass(frozen=True, slots=True)
class Mapped:
    """An object with the user's own keys and values of one kind."""

    value: "Kind"


@dataclass(frozen=True, slots=True)
class Message:
    """An object with these fields and no others."""

    name: str
    fields: "dict[str, Kind]"


type Kind = Scalar | Enum | Repeated | Mapped | Message


def _message(name: str, /, **fields: Kind) -> Message:
    return Message(name, fields)


def _enum(name: str, /, *values: str) -> Enum:
    return Enum(name, frozenset(values))


_STRINGS = Repeated(Scalar.STRING)
_EMPTY = _message("Empty")

_BLOB = _message("Blob", mimeType=Scalar.STRING, data=Scalar.BYTES, displayName=Scalar.STRING)
_SCHEDULING = _enum("Scheduling", "SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT")
_FUNCTION_RESPONSE = _message(
    "FunctionResponse",
    id=Scalar.STRING,
    name=Scalar.STRING,
    response=Scalar.OBJECT,
    willContinue=Scalar.BOOL,
    scheduling=_SCHEDULING,
    parts=Repeated(Scalar.OBJECT),
)
_FUNCTION_CALL = _message(
    "FunctionCall",
    id=Scalar.STRING,
    name=Scalar.STRING,
    args=Scalar.OBJECT,
    partialArgs=Repeated(Scalar.OBJECT),
    willContinue=Scalar.BOOL,
)
_PART = _message(
    "Part",
    text=Scalar.STRING,
    inlineData=_BLOB,
    fileData=_message("FileData", fileUri=Scalar.STRING, mimeType=Scalar.STRING, displayName=Scalar.STRING),
    functionCall=_FUNCTION_CALL,
    functionResponse=_FUNCTION_RESPONSE,
    executableCode=Scalar.OBJECT,
    codeExecutionResult=Scalar.OBJECT,
    thought=Scalar.BOOL,
    thoughtSignature=Scalar.BYTES,
    videoMetadata=Scalar.OBJECT,
    mediaResolution=Scalar.ANY,
    partMetadata=Scalar.OBJECT,
    toolCall=Scalar.OBJECT,
    toolResponse=Scalar.OBJECT,
)
_CONTENT = _message("Content", parts=Repeated(_PART), role=Scalar.STRING)

# OpenAPI's subset for a function's parameters; it refers to itself.
_SCHEMA = _message(
    "Schema",
    type=_enum("Type", "TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"),
    **dict.fromkeys(("format", "title", "description", "pattern", "ref"), Scalar.STRING),
    **dict.fromkeys(("maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"), Scalar.INT64),
    **dict.fromkeys(("minimum", "maximum"), Scalar.FLOAT),
    **dict.fromkeys(("enum", "required", "propertyOrdering"), _STRINGS),
    **dict.fromkeys(("default", "example", "additionalProperties"), Scalar.ANY),
    nullable=Scalar.BOOL,
)
_SCHEMA.fields.update(
    items=_SCHEMA, properties=Mapped(_SCHEMA), anyOf=Repeated(_SCHEMA), defs=Mapped(_SCHEMA)
)  # fmt: skip
_FUNCTION_DECLARATION = _message(
    "FunctionDeclaration",
    name=Scalar.STRING,
    description=Scalar.STRING,
    parameters=_SCHEMA,
    parametersJsonSchema=Scalar.ANY,
    response=_SCHEMA,
    responseJsonSchema=Scalar.ANY,
    behavior=_enum("Behavior", "UNSPECIFIED", "BLOCKING", "NON_BLOCKING"),
)
# Tools that run at the service itself have options which the stand-in has no use for: any object will do.
_BUILT_IN = (
    "googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps", "computerUse", "fileSearch",
    "retrieval", "enterpriseWebSearch", "parallelAiSearch", "exaAiSearch",
)  # fmt: skip
_TOOL = _message(
    "Tool",
    functionDeclarations=Repeated(_FUNCTION_DECLARATION),
    mcpServers=Repeated(Scalar.OBJECT),
    **dict.fromkeys(_BUILT_IN, Scalar.OBJECT),
)

_VOICE_CONFIG = _message(
    "VoiceConfig",
    prebuiltVoiceConfig=_message("PrebuiltVoiceConfig", voiceName=Scalar.STRING),
    replicatedVoiceConfig=Scalar.OBJECT,
    voice=Scalar.STRING,
)
_SPEECH_CONFIG = _message(
    "SpeechConfig",
    voiceConfig=_VOICE_CONFIG,
    languageCode=Scalar.STRING,
    multiSpeakerVoiceConfig=Scalar.OBJECT,
)
_THINKING_CONFIG = _message(
    "ThinkingConfig",
    includeThoughts=Scalar.BOOL,
    thinkingBudget=Scalar.INT32,
    thinkingLevel=_enum("ThinkingLevel", "THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"),
)
_RESOLUTIONS = ("UNSPECIFIED", "LOW", "MEDIUM", "HIGH")
_TRANSCRIPTION = _message(
    "AudioTranscriptionConfig",
    languageCodes=_STRINGS,
    languageAuto=_EMPTY,
    languageHints=_message("LanguageHints", languageCodes=_STRINGS),
    customVocabulary=_STRINGS,
    adaptationPhrases=_STRINGS,
    wordTimestamp=Scalar.BOOL,
    diarization=Scalar.BOOL,
    mode=Scalar.STRING,
    sourceText=Scalar.STRING,
)
_GENERATION_CONFIG = _message(
    "GenerationConfig",
    responseModalities=Repeated(_enum("Modality", "MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO")),
    **dict.fromkeys(("temperature", "topP", "topK", "presencePenalty", "frequencyPenalty"), Scalar.FLOAT),
    **dict.fromkeys(("maxOutputTokens", "candidateCount", "seed", "logprobs"), Scalar.INT32),
    **dict.fromkeys(("responseLogprobs", "audioTimestamp", "enableAffectiveDialog"), Scalar.BOOL),
    enableEnhancedCivicAnswers=Scalar.BOOL,
    stopSequences=_STRINGS,
    mediaResolution=_enum("MediaResolution", *(f"MEDIA_RESOLUTION_{size}" for size in _RESOLUTIONS)),
    speechConfig=_SPEECH_CONFIG,
    thinkingConfig=_THINKING_CONFIG,
    translationConfig=_message(
        "TranslationConfig", targetLanguageCode=Scalar.STRING, echoTargetLanguage=Scalar.BOOL
    ),
    responseMimeType=Scalar.STRING,
    responseSchema=_SCHEMA,
    responseJsonSchema=Scalar.ANY,
    audioTranscriptionConfig=_TRANSCRIPTION,
)  # fmt: skip


def _sensitivity(edge: str) -> Enum:
    return _enum(f"{edge.title()}Sensitivity", *(f"{edge}_SENSITIVITY_{level}" for level in ("UNSPECIFIED", "HIGH", "LOW")))


_ACTIVITY_DETECTION = _message(
    "AutomaticActivityDetection",
    disabled=Scalar.BOOL,
    startOfSpeechSensitivity=_sensitivity("START"),
    endOfSpeechSensitivity=_sensitivity("END"),
    prefixPaddingMs=Scalar.INT32,
    silenceDurationMs=Scalar.INT32,
)
_REALTIME_INPUT_CONFIG = _message(
    "RealtimeInputConfig",
    automaticActivityDetection=_ACTIVITY_DETECTION,
    activityHandling=_enum(
        "ActivityHandling", "ACTIVITY_HANDLING_UNSPECIFIED", "START_OF_ACTIVITY_INTERRUPTS", "NO_INTERRUPTION"
    ),
    turnCoverage=_enum(
        "TurnCoverage",
        "TURN_COVERAGE_UNSPECIFIED",
        "TURN_INCLUDES_ONLY_ACTIVITY",
        "TURN_INCLUDES_ALL_INPUT",
        "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    ),
    interimTranscriptTimestampEnabled=Scalar.BOOL,
)

SETUP = _message(
    "BidiGenerateContentSetup",
    model=Scalar.STRING,
    generationConfig=_GENERATION_CONFIG,
    systemInstruction=_CONTENT,
    tools=Repeated(_TOOL),
    sessionResumption=_message("SessionResumptionConfig", handle=Scalar.STRING, transparent=Scalar.BOOL),
    inputAudioTranscription=_TRANSCRIPTION,
    outputAudioTranscription=_TRANSCRIPTION,
    realtimeInputConfig=_REALTIME_INPUT_CONFIG,
    contextWindowCompression=_message(
        "ContextWindowCompressionConfig",
        triggerTokens=Scalar.INT64,
        slidingWindow=_message("SlidingWindow", targetTokens=Scalar.INT64),
    ),
    proactivity=_message("ProactivityConfig", proactiveAudio=Scalar.BOOL, proactiveVideo=Scalar.BOOL),
    explicitVadSignal=Scalar.BOOL,
    historyConfig=_message("HistoryConfig", initialHistoryInClientContent=Scalar.BOOL),
    avatarConfig=Scalar.OBJECT,
    safetySettings=Repeated(_message("SafetySetting", category=Scalar.STRING, threshold=Scalar.STRING, method=Scalar.STRING)),
    labels=Mapped(Scalar.STRING),
)
CLIENT_MESSAGE = _message(
    "BidiGenerateContentClientMessage",
    setup=SETUP,
    realtimeInput=_message(
        "BidiGenerateContentRealtimeInput",
        audio=_BLOB,
        video=_BLOB,
        mediaChunks=Repeated(_BLOB),
        text=Scalar.STRING,
        audioStreamEnd=Scalar.BOOL,
        activityStart=_EMPTY,
        activityEnd=_EMPTY,
    ),
    clientContent=_message("BidiGenerateContentClientContent", turns=Repeated(_CONTENT), turnComplete=Scalar.BOOL),
    toolResponse=_message("BidiGenerateContentToolResponse", functionResponses=Repeated(_FUNCTION_RESPONSE)),
    contextUpdate=_message(
        "BidiGenerateContentContextUpdate",
        systemInstruction=_CONTENT,
        tools=_message("Tools", tools=Repeated(_TOOL)),
    ),
)
