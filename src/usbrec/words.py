"""Common English words, most frequent first: a word of this list is no film title unless its writing says so (`usbrec.linking`).

Made from the frequency order of whole lower-case words in a public byte-pair vocabulary (SmolLM2's, Apache-2.0), less a few words that
film talk uses as titles only ("matrix", "titanic"), and with greetings, weekdays and one-word titles that are words of every day added.
"""

from __future__ import annotations

VERY_COMMON = 1500
"""So many from the top are never a title by capital letter alone ("Life", "Her")."""

_TEXT = """the in of and to is be for on that con you as pro with an or it are com he we by can at from was not this have us your their they
all will which do more me other has man about but per out one if so were also part them up who into pre these its some how self
ind when his our may time under there bet than go over rec know people like act des year such been use help new what would need
through am work any def ass had off most no develop many add used only first child system get between two learn where sur sub exam
inter trans could health should her well var different every high world even form water just make years set disc data call my med
see then result those way each because effect while process during found art count long after ext return read using lead fact test
life very being fun own she find understand right person back students both follow important does grow car min much main before
information som sci level study great end food start children good might school within class often around made said show pop same
too power research design again small allow care less example down take day support cult quest human treat now individual state
called point number build play though body did must plan him common want met including three cell pass let don social known real
del without environment public still change better prom hand another material report place learning interest present project ben
sit list product feel light development become energy open mean few keep others best include direct various name history create
top leg perform home proper stand move among something mark look things type large think air against law group means rest control
here provide particular several significant bus based women pain area family potential due object old current try program early
fil together focus access last non turn disease risk success making possible low say impact key certain period run mill land blood
case since specific local head post along value order occur come discuss government text following across why addition cost times
areas understanding cause able toward problem systems bro view major course model else prevent intern press hard line special
available consider species community future natural plant complex experience language role until second country men young works
always suggest exist problems put step today technology given strong little character results range treatment age ways business
book next far flow four represent similar education short working past space ill sing amount free concept heart war later author
conditions says needs words give init paper kind mind improve resources having skills field begin parent expect question tradition
knowledge changes appear issues story upon require relationship difficult whether types ask temper enough likely record usually
days address makes away questions further protect ever going dig individuals left path account higher growth big century collect
full countries super increase connect fund sure science never physical side brain however plants death term unique especially
ground groups above event activities least maintain throughout contain subject sound near personal modern affect population
studies really rather became effects reason cancer quality nature practice loss associated pattern building cases patients detail
size hold someone general million comes explore meet already student global doc word simple regard city living single members wind
themselves source towards production respect either once seen thought deep job according pay house done interact team cut required
helps created activity fail products aspect engine online live fall methods medical lot market management needed action animals
political idea sent evidence quick target necessary break society soft surface popular color ensure red writing rights sun mass
actually parts mess seem values lives sometimes yet climate entire share increased came approach response friends provides stress
clear below image whole national developed meaning pressure arch services events ability taken continue music money avoid related
instead adult states taking considered tell culture allows review article cannot challenges site five training economic white
reading techniques check environmental drug position behavior traditional except doing everyone clean itself computer began
published sense week love remain weight demon condition offer content true accept matter black bring took cultural cat feed
experiences instance regular parents green terms conduct oil express identify previous attention structure stories etc produce
region fish multiple select months sex face forms practices total unit designed company elements industry positive creating hours
reflect almost shows half yourself psych bar service particularly fat doesn schools recent claim dog farm contact involved thing
simply commit link original close sleep easy gas extra enjoy heat chemical ideas max spread travel built aware started led issue
historical longer performance greater stop written outside surround models wild lands believe points correct slow movement fire
behind progress threat assert mental leading media books scientists communication code mom ones remember standard uses custom
adapt broad takes developing safety stay caused normal daily write numbers getting growing inside humans six includes importance
causes policy basic answer leaders safe complete sustain features prep late looking page talk efforts exact achieve thinking shape
overall visit average cross compared damage shown camp decision beyond requires force kids network series bill lack scientific
electric quite town earth probably theory attempt quickly international cover request everything carbon cool pack inform game eat
document predict visual forest easily ago patient base animal night host families additional valuable variety teachers generally
search wood civil digital poor gain tree difference software serious influence ancient lines becomes active financial situation
larger teaching fit added bit companies section included established table providing aspects tend images remains powerful prior
application produced feet speak hands friend security steps bad thus mention transport soon directly religious eye virus spirit
video determine appropriate relationships responsible projects offers got named waste rules places foot mother hot devices diverse
military refer agree expected trying install road objects final held mix asked attack exploring options seems card successful
legal sea rich typically front mis limited nation journey involves purpose whose highly rob favor sold third useful central raise
perfect reach device obtain examples learned minutes goal eyes dry costs memory property fair went transform demand length severe
choose month chapter anything respond fast rapid protection professional speed although explain status via novel solution fight
symbol capital supply differences regarding version command room lost contains habit adults wide shared dark bound block beginning
workers brought users balance carry stage trust tests actions season private doctor sec forces received literature discovered news
tim limit continued saw didn interesting earlier birth date solar discover location fear forward fields laws reasons leaves center
message items benefit teach recommend trade measures weeks teacher machine therapy resource construct won smaller ten challenge
apply told egg shall opportunity deal receive piece eating authors serve equipment degree website hundred numerous hope display
names constant details journal moment collection task solutions rare feature architect effort exactly characters described expand
web nothing sites decisions connection middle burn gives dead save affected construction organization identity ice allowing
contemporary allowed nearly mid followed planet recently himself leave goes rule platform swe older planning weather guide goals
beautiful reduced miss fresh connections scale background standards fuel sugar heard box born surrounding largest style divers
relevant core cold perhaps fascinating alone summer rock member basis peace gender completely equal decided element worth coast
distance setting policies promote default wrong involve academic cop north father fully rise educational anti fix running note
figure currently economy math signs emotional watch son bodies enter moving profession map mob risks pet giving wanted worked
occurs wrote joint miles comfort lived evolution master woman coming alternative cry specifically reality picture extrem passed
choice capacity king cities south adjust finding contract genetic imagine gold faith assist weak citizens died changed famous
store federal games birds operations illness female resistance actual happens easier sexual placed becoming deeper strength former
helping experiment rat presence happen price track anyone thousands excess feeling formed vital starting drugs winter changing
showed urban sharing diabetes remove foreign counter gets topics solid random direction advanced eventually tasks letter connected
feelings situations ball plans advance board filled mentioned hair immune ready resulting pen awareness partners lessons glass
despite bond causing sort pieces train conclusion separate blue bed playing thoughts chance eight technique garden believed
approaches experienced pick vision increases gave staff row expert depending manage medicine error baby belong mission billion
native professor church frequently appears relatively classes walk businesses engage column wonder plays suggests truth buy helped
languages onto records heavy felt reference sounds creation office internal plastic option format river reports increasingly
prefer turned disorder immediately alcohol engineering male industrial gene race conflict generation iron diversity anxiety
interests participants release college homes commercial metal win introduced party leads violence religion challenging
consequences vast meeting decades storage justice freedom tour film court huge speech focused multi milk independent career
engaging strategy emotions seek replace keeping creative cycle minor studying settings extremely experts continues interested
primarily cook depression bottom star hear campaign notice widely carried dram prepared spot generations grant secret bone highest
spring wall combination drive string household extract favorite moved artists perspective performed familiar thick played
recommended operation spiritual song spent gather seven worldwide library meant signal responsibility choices saying beliefs fine
volume oxygen adding covered failure kid mel university remind pal landscape served happened arm impacts centuries seeds title
lesson advice cast examine dogs plot carefully papers upper origin ocean smart letters round screen array containing finally roll
figures send wealth previously potentially looks released describe injury flood purposes owners https destroy confirm aid nuclear
linked jobs seeking pages accurate advantage president god leaving radio straight traditions convent meat dangerous surgery
capable battle formation ongoing credit roots roles explained tail maybe mostly enable pollution sets relative otherwise apart
grade subjects push recognize square victim phase revolution eggs rain determined secure argument faced atmosphere motor voice
combined nor treatments farmers genes sports intelligence grand appreciate earn reaction facts taught annual worry involving
periods official looked noted whom collaboration offered knew spend talking authority hour ultimately nations helpful slightly
answers please charge hearing showing completed killed hit ideal tiny existence reached stream description excellent truly
perspectives improving salt smooth maximum island proposed die traffic knows exposed obvious brief kept phone bank interview kinds
solve amazing deliver exchange raised parties intended operating flowers offering certainly drawing firm ban motion computers
extreme selected themes affects depends follows double closer youth resist ship regularly funding happy creates internet edge
returned wasn handle thin tips discovery suggested fab bird asking kill hospital mainly hidden informed begins innovative
dedicated investment procedure rapidly abuse careful tried waters forced documents doll storm diagnosis southern toxic bright
supporting circumstances client fluid occurred stone leadership prepare window leader stars manner millions suitable brother
selection poet lies mode yellow employees pictures station loved morning pretty era domestic biological decide vehicle join match
interactions settle drop wear walls guidance appearance recorded virtual click snow poverty sudden links driving moral drinking
west wait emergency depth sensitive serves entirely communicate cutting listen fill define struggle sides institution introduction
lots chain examining messages touch sen girls starts claims hero speaking controlled typical attacks responses regulations stages
audience matters paid lose rural sell park grown recognized consists chosen exists drink band ahead accepted wants cars trial
politics police assistance latest cooking opening opinion successfully sin fiction knowing script budget crisis wave hundreds
catch server divided reform adopt couple transition relax protected residents survival doctors apparent calls acts neighbor critic
positions suffering machines beauty universe stock representation hunt brand walking exploration attend reject waves department
nearby ethical conscious understood stronger shift wire concerned curriculum frame wildlife tells concentration confidence massive
inner producing sick remaining mobile wife habits officials gained substance abilities army engagement managing sweet greatest
east desired appeared programming narrow switch witness seeing conventional explains floor reader pregnancy experiments taste
impossible electronic marked pure tested sentence locations soldiers gun pig failed injuries customers persons slowly philosophy
considering unless foster closed facing sky western capture instructions everyday participate horse indeed players enables ages
revealed prison exciting artificial stick crop remote shop inches stands competition agreed pair mixed photos extended heritage
chart psychological standing possibly turns inspired museum director incredible sole deaths passion writer pull examination bot
intellectual literary agencies arms stated unknown organized expectations village marine employed supports opened writers
meaningful score adopted limits categories deeply bio powers arts describes arguments childhood arrived forget scene comments
brings conversation distributed realized dynamic fell door houses holds listed suffer rely wisdom worse collective grew decline
flight insurance transmission infected healing presentation camera possibility alongside chief marriage coffee creatures normally
mountain seemed steel survive fighting twice returns desire navigate tall missing moon colleagues couldn authorities latter broken
wish breathing insight compare younger lifestyle willing guess societal prove styles necessarily strict gal painting update
commitment listening continuous housing supplies crime focuses agency shut myth category succeed fav participation adventure
instruments originally thereby fly circuit dealing engaged turning difficulty emerged breath physics ends artist threats thanks
fellow bread holding orient independence sight district whatever grid teams employment objective complicated serving warming
waiting cards opposite bear drain accident trained routine trip uncertain insects doubt delivery tap unexpected occasion chick
sought meals editor preparation noticed attached false spending concerning split stake player demands initially encounter theories
curiosity stable beings heavily alter border cup teen summary purchase partner drawn regardless stomach forth profound fiber
humanity unable dance none tea racial putting contributions launch rid mood troops preventing smoking proceed influenced expansion
delay happening replaced operate joined trouble subsequent committed decade insert substantial gone channel street focusing craft
refuge centers protecting territory runs laboratory fashion realize mild zone reward introduce minds roof seconds preserve symbols
resulted intent reveal trials gap theme investigation proof jump stuff daughter neighborhood alike bridge recommendations
identifying route prominent biggest receiving shot feels graduate warn curious relation gradually excessive corner constantly
dream engineers nine integrated moves dialogue hole founded feeding presents biology vote musical twenty amid evolved agents honor
differently correctly artistic possibilities nerve grad rising married supposed thousand whenever plenty ended division myself
conversations equally unusual difficulties targets combat branch bringing pool phenomenon owner outcome debt parallel rivers
assume tissues destroyed discussing integration overcome paint diagnosed cats passing performing clients repair fairly notable
movie boy historic award solving batch explanation finished farming covers convert handling rocks danger customer lights
experiencing strongly ships simultaneously tag universal forming scores videos neither newly victims spin sport nervous cleaning
realm association stores damaged respectively trauma representing tank sessions circle influences icon sharp smoke launched
resident reaching peoples bigger mining myster poetry attempts intense banks blind coastal transformation weapons psychology
somewhat criminal friendly inn watching shaped rom empty bonds faces carrying moments defense stroke agent entered sitting
assigned photo boys rank variations poison constructed permission captured marks corresponding chances schedule blow abandon
destruction caught updated judge mask literacy plus peak ranging escape robot personality pit enemy versions cyber surprising
modified burning sunlight arise promise await narrative dates tables preferences classic planned sad girl desert kidney disaster
mixture scientist babies ordinary keeps slavery falls ring inspiration guard profile strain laid wonderful memories cash proved
tons declared finds origins disabilities wine targeted senior dependent perception plane sensitivity preparing identification club
scenario exhibit defend usual tension election safely chest removal quiet scope dollars husband choosing roads inspire celebrate
outer intensity extraordinary experimental facility audio ecological ritual protective finger driven warning horses lie prospect
coverage minute absolute spectrum alive honest driver interactive honey giant strange advances anywhere pounds defect translation
processed varying officers evil van recover holes rarely flower complications losses migration principal eliminate reverse
covering haven profit copper cream television recall absence centre seemingly package dominant claimed physically orbit consume
pregnant mutual reflection radical cab crew minimal fourth embark confirmed edition lists arrest harder lock heads consciousness
investigate breaking soul references info wondered vibrant opposed lake herself brow mountains granted fishing screening bag
surprise superior acquired manifest rose spark calling researcher achieving delivered pond mineral grows loop classical landscapes
peers saved temple competitive phenomena songs globe appeal democracy infant visited isolated beneath pandemic stations enhanced
suffered temporary chemistry manager raising breed losing blank ordered elsewhere elder gathered visiting submit luck happiness
drag earliest excited tribes suddenly controlling telling aged acute directions tropical countless saving voices acting mine
hunting seat terror buff bomb union decay stopped occurring chose candidate combine preferred legacy streets magic shoot falling
tales tight amidst grades involvement highlights definitely evening illegal paying duty wearing suit directed elected discipline
separated magical plain writes trigger breaks span orders physician solely shock courts responsibilities segment flying paths
sacred doors toys perfectly addiction pairs dramatic clock finish cattle royal incident obstacles slaves fought tough tone nice
ton planets worst slave imagination spots establishing graphic expanding notion hurt staying audiences charged adapted avoiding
identities stood oldest settlement popularity drivers communications gravity wise lecture accomplish flash regarded owned lasting
reflects struggles promising films selling continuing strike tumor reveals photographs illustrate mouse buying aging attitude
reviews tom shares polar athletes mothers novels judgment celebrated believes hall executive threatened unlikely tracking weigh
adaptation wars transformed prime assignment existed scenes confusion lifetime pose thrive influential payment threshold
critically chicken storytelling sending assembly accompanied medieval unlike dating courage buried armed legend chocolate cure
collecting restore settled beat drinks opposition proud isolation reaches sophisticated gods relate killing boat reputation
corporate estate precious enjoyed spoke suggesting officer aside worker yes forever classified assumed spreading paintings anger
fitness outdoor suggestions immigrants ancestors violent emerge cub shorter mini kitchen pets ignore crown partial inhabitants
distant enforcement holiday seriously grounds mature aggressive appointed repeat featuring employee hat personnel victory brains
thank prey basically striking scheme developers finance surrounded loyal sequences recording copies movies viral stack precisely
struggling captivating painful replacement kingdom newspaper evolving disagree dreams criticism identical teachings wooden worlds
enormous vegetable penal somewhere ultimate separation describing fan associate thoroughly backgrounds caps nest gathering begun
navigating varies tale fantastic suspect busy commands sister dies orange seam minority twist funded reserved trading genre dress
gift embrace mystery execution grace factory grasp proposal partnership occasionally traveling divide compelling cheap comparing
harsh rooms amongst tape vessel dropped crimes adoption shore registered belonging tolerance impressive entity sees province
destination cheese harness excitement hybrid rent visits passes serial outbreak persistent pursue gum invention centered advisor
crack eager absolutely occupied respective regime reign opens colorful resolve bat shoes spacecraft menu underground bears
purchased transplant searching develops photography skilled attending civilization neighbors dimension apparently loud volunteers
pilot delight tongue literally welcome duties lean colony swimming attractive shelter deals tech beach synthetic juvenile
accidents deer retain prevents broke bottle teaches throat engineer puts consuming hazards ending rough altered speaker ruled
elderly suicide interconnected wings struck bullying dramatically citizen punishment speeds acquire transferred totally wing
surroundings inspiring bought arrival throw returning sleeping continent ok golden desk loose till translated mobility oceans toy
affairs immigration refused endangered loan counts genuine producers empire ride bits nursing cable carries intriguing descend
racism actors interviews abundance hopes defining mistake teens incredibly robots sheep winds drives attempted dementia trick
checks circles invasion typing entertainment checking hide diver assistant semi advocate alpha hes realistic facial seeks trail
charges rejected heal organize abandoned attended arranged missions receives elementary arrive explores cameras stretch twelve
shopping landing pride patch careers confused secrets rehab intelligent afternoon kindness camps hearts progression entitled
featured atmospheric wake gains bust controversial collapse introducing sons invented fifth calendar celebration raises friendship
instant asks fate bee competing injured publishing personally spine adventures combines relating campus cope dinner reviewed
presenting uncover hip broadcast posted mirror earthquake mutations thirty offices invited bull absorbed magazine guided predators
sacrifice refugees attempting painted tower writings survived exhibition chamber meets gaining wondering sorts organism timing
font relatives folk partially manufacturer lift pleasure heter chat endless talks accompany dentist advertising titles battles
folks burned wage incorrect surveillance tied minister diamond brothers pressures printer subsequently fears afraid basket
accomplished executed cave mail grants traditionally drops surprised tribe payments dying contracts tracks enjoying assault grat
bills dangers evolve peaceful sail council revolutionary mysterious picked occupation disasters enemies atomic operator fulfill
singing alien obviously exceptional illustrated approached beloved wages perceptions awarded kilometers bike caring butt murder
worried shallow insist joining concert spelling interpretations politicians visually treaty prisoners recommendation frozen torn
defects warfare stuck quote abroad bridges pushed musicians genetics mainstream fatal railroad monument nineteenth creature exams
avoided mile stunning trusted chapters gifts poorly bands artifacts educated profits humor nerves valley senses ties stops tactics
enduring decent blend strings viewing revealing attacked tired odd nurses labeled motivated disappear weapon champ casual passive
phases heroes voting discovering biblical admitted delivering pursuing guns clues fans structured bowl fails travels segments
thinks rubber fallen devastating expedition relies devoted angry festival episode challenged founder rewards shifting stiff
triggers referring watched fits confront meter matches similarly hazardous ruling retire von spirits corruption incidents belongs
winning tensions defeat floating locate puzzle entrepreneurs rituals dominated educate hardly checked relates attracted
exploitation united dollar critics talked brave repeatedly rocket deadly addict historian graphics tear creations terminal lying
packages epidemic wealthy preference specialists meteor reads upset unprecedented disabled builds aquatic survivors brilliant
terrain delves fraud marvel romantic nurse hunger frames hosts tries coping closest targeting loaded masses plots exclusive
organisation hill wed unemployment bell briefly adopting crossing admit suspected unwanted lets promised behave powered reminder
football disappoint performances depicted conservative walked compromise comparable darkness missed socially encounters promotion
galaxy mysteries crystal bars pulled accused priest wonders inherited hoping steep protest restored recommends terrible iconic
instructor releases whales crowd enters enterprise advancing yard behalf remembered compete pursuit reserve activists rings poses
trains severely niche inherit packed therapist lesser participated farmer rival drama execute talent tribal promises speaks
anymore smile makers genetically whilst rum employer overweight comic castle tunnel interference lighter absent underwater
investigating bay gaming deciding strip glasses substitute rescue desires desirable odds strictly demanding rises convict lenses
ceremony neighboring convention freed surely anxious obtaining schemes laugh hate capturing closing archaeological tomorrow
connects forgotten respected individually celebrating timber astronaut drew firmly volcanic chaos shortly jewel scheduled
preschool recovered races breakfast routines fifty silent tomatoes thrilling stays witnessed passengers possession emotionally
whites eligible manipulate riding morality planes oneself charts elaborate flies alleged dispute genres occasions epic denied
controversy convinced blame march forcing tremendous titled residence thrown deemed passionate renowned appealing legally unclear
radar sends workforce gay anyway unfamiliar handy flesh invisible surviving letting classmates enjoyable edited treasure ranks
wounds notably theater silence lacking strikes banking supervision trap poisoning naval rehabilitation snake balls seas agenda
openly gross defeated rigid discusses anniversary explosion threatening crash eliminating dump shops rating maintains traces
triumph venture fake dancing panic somehow fled founding passages poster breakdown oppression neighborhoods resort approaching
stocks forty urgent trapped grave scholarship upcoming mythology bitter skip transit failing lunar confined wolf guests obese
episodes outstanding tourists loyalty allies sensation loves provinces draws modification ruler newborn guilty touching ambitious
yours stayed confusing headed transforming mines peculiar glory intentions invite enthusiasts triggered descent arrested teenagers
animation hoped presidential jet stopping researching everybody imagined groundbreaking lawyer gang employing carrier alternate
fictional soldier recruit holidays soccer okay shooting talents noble companion unfold heading introduces traumatic couples nobody
worthy fleet hiding transitions triangle destructive inevitable guilt clubs crossed designer hanging longest dozen examines truck
tears likes goddess memorable hungry journeys overnight releasing eternal eliminated comics contacts grounded overlooked versatile
jack parasites locals afterwards exhibits birthday sake toll convenience clarify restaurant loving expose adulthood mandatory
extinct cruel cleaner banned descendants surgeon lasted throne statue economically transported wolves temporarily questioning
troubles clever wanting spell exotic masters priests wounded philosopher besides railway gym aspiring quotes deployed assuming
collectively hotel regards mankind spite mad sexuality burial warned fancy sword admission picking tragedy dated ghost siblings
protests showcase switching comprised tomb ate deployment advertise prototype adaptations trash commerce neat superhero fired
propose remedy woods homeless drilling listing cooler offensive modest retirement toilet elite nearest whale grief commander
suppose sixth opposing piano fragile adjusting queen hits instrumental drum reminded specially satisfy newfound charity pencil
disappeared shame suggestion tie wishes claiming marking utter lifelong infinite emperor hi fantasy instantly treasures monarch
advise publisher puzzles climbing wilderness fitting rejection jewelry subjected stumbled guitar clinic appreciated carved rabbit
walks competitors realizing explorers mentally hire handful induce clip dozens offerings washed thoughtful barely sits intersect
freezing companions weekend snakes harassment adolescent retired spider guest keen anatomy attorney primitive filed appearing rip
tragic talented intimate documentary unlock abortion turtles lady newer armies diesel subjective baseball flee ants lawyers
lightning climb supernatural asleep bullet salvation lion parking commentary trails tourist credits portrait unconscious tastes
civilian believing crises lasts dirty prejudice sexually divorce trunk shower cargo dynasty earning stressful corrupt nights
fathers acted attraction knock palace brighter assumes decides retreat mindset awesome kick passenger lucky unfortunately rendered
exploit tense spotted liked convince aboard scary accidentally producer fright enroll innocent blade knife fifteen racing reflex
pound performs backup dawn hired surprisingly pays inferior depths mentions veterans undoubtedly anticipated tricks merge refuse
commissioned ancestral daughters spill farther deposit simplicity attendance needing rebellion theatre hello hey bye yeah yep nope
nah lol haha sunday monday tuesday wednesday thursday friday saturday january february april june july august september october
november december christmas halloween savages rush fury bolt hush raw joy sully spy scream psycho trolls dope hook bully gifted
heathers colors grease twister misery fever sunshine getaway notorious invincible unbreakable unstoppable flawless limitless
clueless faster fearless breathe shaft stripes knights ninja vampire clown gangster thief sniper cowboy popcorn cocktail paradise
amusement taxi rope cube coma duel rampage vengeance deliverance enchanted extinction resolution chef
"""

WORDS: tuple[str, ...] = tuple(_TEXT.split())
