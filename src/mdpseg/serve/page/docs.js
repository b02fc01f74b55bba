// The interface, as its OpenAPI document says it.
import { byId, make } from './state.js';

const { paths, components } = await (await fetch('/openapi.json')).json();
byId('example').textContent = `curl -F image=@photo.jpg ${location.origin}/api/segment -o mask.png`;

function fields(operation) {
  const form = operation.requestBody?.content['multipart/form-data'].schema;
  const schema = form && components.schemas[(form.$ref ?? form.allOf[0].$ref).split('/').pop()];
  return [
    ...Object.entries(schema?.properties ?? {}).map(([name, field]) => [name, schema.required?.includes(name)
      ? 'required' : `default: ${JSON.stringify(field.default) ?? ''}`, field.description ?? '']),
    ...(operation.parameters ?? []).map((field) => [field.name, 'header', field.description ?? '']),
  ];
}

for (const [path, methods] of Object.entries(paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const rows = fields(operation).map(([name, kind, text]) => make('tr', {}, make('th', { scope: 'row' }, name),
      make('td', {}, kind), make('td', {}, text)));
    const head = make('tr', {}, ...['field', '', 'what it is'].map((text) => make('th', { scope: 'col' }, text)));
    byId('operations').append(make('section', {}, make('h2', {}, `${method.toUpperCase()} ${path}`),
      make('p', {}, operation.summary), rows.length ? make('div', { class: 'scroll' }, make('table', {},
        make('thead', {}, head), make('tbody', {}, ...rows))) : ''));
  }
}
