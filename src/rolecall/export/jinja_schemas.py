"""Tool schemas in other notations than JSON, as macros; see `rolecall.toolcalls`."""

from __future__ import annotations

NAMED_FIELDS = """\
{%- macro named_fields(function) %}
    {{- '{"type": "function", "function": {"name": ' + function.name | tojson }}
    {{- ', "description": ' + (function.description or '') | tojson }}
    {{- ', "parameters": ' + (function.parameters or {}) | tojson + '}}' }}
{%- endmacro %}"""

TYPESCRIPT = """\
{#- A function as TypeScript: its description as comments, then its type. -#}
{%- macro typescript(function) %}
    {%- for line in (function.description or '').split('\\n') %}
        {%- if line or not loop.last %}
            {{- '// ' + line + '\\n' }}
        {%- endif %}
    {%- endfor %}
    {{- 'type ' + function.name + ' = (' }}
    {%- if function.parameters is defined and function.parameters is not none %}
        {{- '_: ' + ts_type(function.parameters, '') }}
    {%- endif %}
    {{- ') => any;' }}
{%- endmacro %}"""

TS_TYPE = """\
{%- macro ts_type(schema, indent) %}
    {%- set names = {'number': 'number', 'integer': 'number', 'boolean': 'boolean'} %}
    {%- if schema is not mapping %}
        {{- 'any' }}
    {%- elif 'oneOf' in schema %}
        {%- for variant in schema.oneOf %}
            {{- '\\n' + ts_variant(variant, indent, true) }}
        {%- endfor %}
    {%- elif schema.type is string %}
        {%- if schema.type == 'object' %}
            {{- ts_object(schema, indent) }}
        {%- elif schema.type == 'array' %}
            {{- ts_type(schema['items'], indent) + '[]' if 'items' in schema else 'Array<any>' }}
        {%- elif schema.type == 'string' %}
            {%- set ns = namespace(said='') %}
            {%- for value in schema.enum or [] %}
                {%- if value is string %}
                    {%- set ns.said = ns.said + (' | ' if ns.said else '') + '"' + value + '"' %}
                {%- endif %}
            {%- endfor %}
            {{- ns.said or 'string' }}
        {%- else %}
            {{- names[schema.type] or 'any' }}
        {%- endif %}
    {%- else %}
        {%- set ns = namespace(kinds='') %}
        {%- for kind in schema.type or [] %}
            {%- set ns.kinds = ns.kinds + (' | ' if ns.kinds else '') %}
            {%- set ns.kinds = ns.kinds + ('number' if kind == 'integer' else kind) %}
        {%- endfor %}
        {{- ns.kinds or 'any' }}
    {%- endif %}
{%- endmacro %}"""

TS_OBJECT = """\
{%- macro ts_object(schema, indent) %}
    {{- ts_comment(indent, schema.description) + '{\\n' }}
    {%- for name, value in (schema.properties or {}) | items %}
        {%- set optional = '' if name in (schema.required or []) else '?' %}
        {{- ts_property(indent + name + optional, value, indent) }}
    {%- endfor %}
    {{- indent + '}' }}
{%- endmacro %}"""

TS_PROPERTY = """\
{%- macro ts_property(label, schema, indent) %}
    {%- if schema is not mapping %}
        {{- label + ': any,\\n' }}
    {%- else %}
        {%- if schema.title is string %}
            {{- indent + '// ' + schema.title + '\\n' + indent + '//\\n' }}
        {%- endif %}
        {{- ts_comment(indent, schema.description) }}
        {%- if schema.examples %}
            {{- indent + '// Examples:\\n' }}
            {%- for example in schema.examples %}
                {%- if example is string %}
                    {{- indent + '// - "' + example + '"\\n' }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {%- if 'oneOf' in schema %}
            {{- ts_default(indent + '// ', schema, '\\n') + label + ':\\n' }}
            {%- for variant in schema.oneOf %}
                {%- set described = not loop.first or schema.description is not string %}
                {{- ts_variant(variant, indent, described) + '\\n' }}
            {%- endfor %}
            {{- indent + ',\\n' }}
        {%- else %}
            {{- label + ': ' + ts_nullable(schema, indent + '    ') + ',' }}
            {{- ts_default(' // ', schema, '') + '\\n' }}
        {%- endif %}
    {%- endif %}
{%- endmacro %}"""

TS_VARIANT = """\
{%- macro ts_variant(schema, indent, described) %}
    {{- indent + ' | ' + ts_nullable(schema, indent + '   ') }}
    {%- if schema is mapping %}
        {%- set said = described and schema.description is string %}
        {%- if said %}
            {{- ' // ' + schema.description }}
        {%- endif %}
        {{- ts_default(' ' if said else ' // ', schema, '') }}
    {%- endif %}
{%- endmacro %}"""

TS_COMMENT = """\
{%- macro ts_comment(indent, text) %}
    {%- if text is string %}
        {{- indent + '// ' + text + '\\n' }}
    {%- endif %}
{%- endmacro %}"""

TS_DEFAULT = """\
{%- macro ts_default(before, schema, after) %}
    {%- if 'default' in schema %}
        {%- if schema.default is not string %}
            {{- before + 'default: ' + schema.default | tojson(separators=(',', ':')) + after }}
        {%- elif schema.enum %}
            {{- before + 'default: ' + schema.default + after }}
        {%- else %}
            {{- before + 'default: "' + schema.default + '"' + after }}
        {%- endif %}
    {%- endif %}
{%- endmacro %}"""

TS_NULLABLE = """\
{%- macro ts_nullable(schema, indent) %}
    {%- set type = ts_type(schema, indent) %}
    {{- type }}
    {%- if schema is mapping and schema.nullable and 'null' not in type %}
        {{- ' | null' }}
    {%- endif %}
{%- endmacro %}"""

SIGNATURE = """\
{#- A function as a Python signature and docstring, then its parameters. -#}
{%- macro signature(function) %}
    {%- set parameters = function.parameters or {} %}
    {%- set properties = parameters.properties or {} %}
    {{- '{"type": "function", "function": {"name": "' + function.name + '", "description": "' }}
    {{- function.name + '(' }}
    {%- for name, schema in properties | items %}
        {{- ('' if loop.first else ', ') + name + ': ' + py_type(schema) }}
    {%- endfor %}
    {{- ')' }}
    {%- if function['return'] %}
        {{- ' -> ' + py_type(function['return']) }}
    {%- endif %}
    {{- ' - ' + (function.description or '') + '\\n\\n' }}
    {%- for name, schema in properties | items %}
        {{- '    Args:\\n' if loop.first else '' }}
        {{- '        ' + name + '(' + py_type(schema) + '): ' }}
        {{- (schema.description or '') | trim }}
    {%- endfor %}
    {%- if function['return'] and function['return'].description %}
        {{- '\\n    Returns:\\n        ' + function['return'].description }}
    {%- endif %}
    {{- '", "parameters": ' + (parameters | tojson if properties else '{}') + '}' }}
{%- endmacro %}"""

PY_TYPE = """\
{%- macro py_type(schema) %}
    {%- set names = {'string': 'str', 'number': 'float', 'integer': 'int', 'boolean': 'bool'} %}
    {%- if schema is not mapping or not schema.type %}
        {{- 'Union[]' }}
    {%- elif schema.type is not string %}
        {{- 'Union[' }}
        {%- for type in schema.type %}
            {{- ('' if loop.first else ',') + py_type({'type': type}) }}
        {%- endfor %}
        {{- ']' }}
    {%- elif schema.type in names %}
        {{- names[schema.type] }}
    {%- elif schema.type == 'array' %}
        {{- 'list[Union[]]' }}
    {%- elif schema.type != 'object' %}
        {{- 'Any' }}
    {%- elif 'additionalProperties' in schema %}
        {{- 'dict[str, ' + py_type(schema.additionalProperties) + ']' }}
    {%- else %}
        {{- 'dict' }}
    {%- endif %}
{%- endmacro %}"""

MACROS = {
    "named_fields": NAMED_FIELDS,
    "ts_comment": TS_COMMENT,
    "ts_default": TS_DEFAULT,
    "ts_nullable": TS_NULLABLE,
    "ts_variant": TS_VARIANT,
    "ts_property": TS_PROPERTY,
    "ts_object": TS_OBJECT,
    "ts_type": TS_TYPE,
    "typescript": TYPESCRIPT,
    "py_type": PY_TYPE,
    "signature": SIGNATURE,
}
"""Name to macro."""
