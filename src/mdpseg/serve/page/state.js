// What the page knows. An image: {name, file, bitmap, seen, wanted, running, error, marks, view, thumbnail, drawn}:
// view is what seen was asked as, thumbnail a canvas, drawn the seen that it shows.
export const state = {
  info: null, // of the server: run, taxonomies, limits
  images: [],
  current: null,
  taxonomy: '',
  withOwn: true,
  opacity: 0.55,
  hidden: new Set(), // names of classes
  only: null, // the class under the pointer in the legend
  mode: 'look',
};

export const byId = (id) => document.getElementById(id);

// Elements are made from text alone: a name is never markup.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'colour') element.style.background = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const swatch = (colour) => make('span', { class: 'swatch', colour, 'aria-hidden': 'true' });
export const ownTaxonomy = () => state.info.taxonomies.find((taxonomy) => taxonomy.own);
export const chosenTaxonomy = () => (state.withOwn && ownTaxonomy()
  ? `${state.taxonomy}+${ownTaxonomy().name}` : state.taxonomy);

export function tell(text) { byId('status').textContent = text; }
export function complain(error) { byId('message').textContent = error?.message ?? error ?? ''; }
